"""Which module may import which: dependencies point downwards, and there is no circle.

All imports count: those inside functions, and those for type checkers alone.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from types import MappingProxyType

import pytest

import testbed

ROOT = Path(testbed.__file__).parent

LAYERS = (
    (
        ("testbed", "testbed.capability", "testbed.descendants", "testbed.errors", "testbed.foreign_errors",
         "testbed.json_object", "testbed.paths", "testbed.signing", "testbed.yaml_document"),
    ),
    (("testbed.model", "testbed.model.core"),),
    (("testbed.model.compute",),),
    (("testbed.model.hybrid",), ("testbed.model.serverless",), ("testbed.model.managed",)),
    (("testbed.model.topology",),),
    (("testbed.model.bgp",), ("testbed.model.kinds",), ("testbed.model.managed_rules",), ("testbed.model.peering",)),
    (("testbed.model.rules",),),
    (("testbed.topology_file",), ("testbed.topology_export",)),
    (("testbed.fabric.allocation",),),
    (
        (
            "testbed.fabric.dropping", "testbed.fabric.link_local", "testbed.fabric.naming", "testbed.fabric.plan",
            "testbed.fabric.wiring",
        ),
    ),
    (("testbed.fabric",), ("testbed.oracle",)),
    (("testbed.fabric.compiler",),),
    (("testbed.kernel",), ("testbed.nodes",)),
    (("testbed.control", "testbed.control.connectors"),),
    (("testbed.control.state",),),
    (
        ("testbed.control.channel",), ("testbed.control.facts",), ("testbed.control.invocation",),
        ("testbed.control.watch",),
    ),
    (("testbed.control.accept",),),
    (("testbed.control.realise",),),
    (("testbed.control.commands",), ("testbed.control.controller_process",)),
    (("testbed.control.controller",),),
    (("testbed.api",), ("testbed.load",)),
    (("testbed.cli",),),
    (("testbed.__main__",),),
)  # fmt: skip
"""The layers, lowest first, with the groups of packages and modules in each.

A module belongs to the group that names it, or its nearest package.  It may import from its own group and from layers
below, but not from a group beside its own.
"""

ORACLE_MAY_IMPORT = ("testbed.errors", "testbed.model", "testbed.fabric.allocation", "testbed.oracle")
"""The oracle is the second opinion: it shares the facts with the compiler, and what was given out."""
NOT_THE_ORACLES = "testbed.fabric.allocation.members"
"""Who is in a network it lists for itself, as it does without `testbed.fabric.inventory`."""

LATE_IMPORTS = MappingProxyType(
    {
        "testbed.cli": "a command imports no other command's modules",
        "testbed.kernel.netlink": "pyroute2 takes a tenth of a second, which not every command should cost",
        "testbed.kernel.namespace": "the same",
    }
)
"""Where imports inside functions may be, and why."""


def _name(path: Path) -> str:
    parts = ("testbed", *path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def _trees() -> Mapping[str, ast.Module]:
    return {_name(path): ast.parse(path.read_text()) for path in sorted(ROOT.rglob("*.py"))}


def _imported(node: ast.AST) -> Iterator[str]:
    """The modules of the testbed that an import statement names."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "testbed")
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, f"line {node.lineno}: imports are absolute"
        module = node.module or ""
        if module.split(".")[0] == "testbed":
            named = (f"{module}.{alias.name}" for alias in node.names)
            yield from (one if one in _trees() else module for one in named)


@cache
def _imports() -> Mapping[str, frozenset[str]]:
    return {
        name: frozenset(other for node in ast.walk(tree) for other in _imported(node)) - {name}
        for name, tree in _trees().items()
    }


def _is_in(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def _place(module: str) -> tuple[int, int]:
    """The number of a module's layer, and of its group there: `testbed` itself stands for no package."""
    found = [
        (len(package), layer, number)
        for layer, groups in enumerate(LAYERS)
        for number, group in enumerate(groups)
        for package in group
        if (module == package if package == "testbed" else _is_in(module, package))
    ]
    assert found, f"{module} has no layer"
    _, layer, number = max(found)
    return layer, number


def test_there_is_no_circle() -> None:
    try:
        tuple(TopologicalSorter(_imports()).static_order())
    except CycleError as error:
        pytest.fail(f"modules import each other: {' <- '.join(error.args[1])}")


def test_no_import_points_up_or_sideways() -> None:
    wrong = []
    for name, others in _imports().items():
        (layer, group) = _place(name)
        for other in sorted(others):
            its_layer, its_group = _place(other)
            if its_layer > layer or (its_layer == layer and its_group != group):
                wrong.append(f"{name} imports {other}")
    assert wrong == []


def test_every_layer_has_modules() -> None:
    named = [package for groups in LAYERS for group in groups for package in group]
    assert [package for package in named if package not in _trees()] == []
    assert len(set(named)) == len(named)


def test_the_oracle_stands_apart() -> None:
    wrong = [
        f"{name} imports {other}"
        for name, others in _imports().items()
        if _is_in(name, "testbed.oracle")
        for other in others
        if not any(_is_in(other, package) for package in ORACLE_MAY_IMPORT) or _is_in(other, NOT_THE_ORACLES)
    ]
    assert wrong == []


def test_imports_inside_functions_are_those_that_are_listed() -> None:
    found = {
        name
        for name, tree in _trees().items()
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    assert found <= LATE_IMPORTS.keys()
    assert LATE_IMPORTS.keys() - found <= {"testbed.cli"}  # which imports by name
