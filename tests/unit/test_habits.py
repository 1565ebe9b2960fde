"""What is promised beside the code: what CI and commits check, and that SECURITY.md names a test for what it says."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from testbed.api.contract.discovery import APIS
from testbed.paths import PROJECT

CI = PROJECT / ".github" / "workflows" / "ci.yml"
HOOKS = PROJECT / ".pre-commit-config.yaml"
SHOWN = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def steps(job: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load(CI.read_text())["jobs"][job]["steps"]
    return found


def versions(job: str) -> set[str]:
    """The Pythons that a job of CI has."""
    (asked,) = (step["with"]["python-version"] for step in steps(job) if "setup-python" in step.get("uses", ""))
    return set(asked.split())


def test_ci_runs_what_any_machine_runs() -> None:
    assert [step["run"] for step in steps("test") if "run" in step] == [".ci/run"]
    assert [step["run"] for step in steps("pythons") if "run" in step] == ["make pythons"]


def test_ci_has_each_python_that_is_supported() -> None:
    classifiers = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["classifiers"]
    supported = {found[1] for line in classifiers if (found := re.search(r"Python :: (3\.\d+)$", line))}
    assert versions("pythons") == supported
    assert versions("test") <= supported


def test_a_commit_is_checked_by_the_programs_of_make_lint() -> None:
    hooks = [hook for repo in yaml.safe_load(HOOKS.read_text())["repos"] for hook in repo["hooks"]]
    lint = (PROJECT / "Makefile").read_text().partition("\nlint:")[2].partition("\n\n")[0]
    checks = re.findall(r"\$\(BIN\)/(ruff check|ruff format|mypy)", lint)
    assert [hook["name"] for hook in hooks] == checks
    assert all(hook["entry"].startswith(f".venv/bin/{hook['name']}") for hook in hooks)


@pytest.mark.parametrize(("file", "test"), SHOWN.findall((PROJECT / "SECURITY.md").read_text()))
def test_what_shows_it_is_there(file: str, test: str) -> None:
    assert re.search(rf"^def {test}\(", (PROJECT / Path(file)).read_text(), re.MULTILINE)


def test_each_promise_of_isolation_names_what_shows_it() -> None:
    rows = [line for line in (PROJECT / "SECURITY.md").read_text().splitlines() if line.startswith("| ")]
    assert len(rows) > 10
    assert all(SHOWN.search(row) for row in rows[2:])


def texts(source: str) -> set[str]:
    """Every text in some code that is no docstring: errors, help, hints."""
    tree = ast.parse(source)
    documented = {
        id(statement.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        for statement in node.body
        if isinstance(statement, ast.Expr)
    }
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documented
    }


def test_what_users_read_cites_no_numbers_of_the_catalogue() -> None:
    """They have no use for them; docs/behaviour.md is for those who read the code."""
    assert texts('"""behaviour 1.1"""\nraise E(f"{x} (behaviour 1.2)")') == {" (behaviour 1.2)"}
    cited = [
        f"{path.relative_to(PROJECT)}: {text}"
        for path in (PROJECT / "testbed").rglob("*.py")
        for text in texts(path.read_text())
        if re.search(r"behaviour \d", text)
    ]
    assert cited == []


FOREIGN = frozenset(
    {"bundle.pem", "ca.pem", "connectors.create", "containers.create", "example.com", "google.api.http"}
)
"""Names in docstrings that are not of this code: files, hosts, and methods of others."""
GOOGLES = frozenset(api.partition(".")[0] for api in APIS)
"""Google's ids of methods and collections begin with one of these: `compute.firewalls.insert`."""


def names_in(tree: ast.Module) -> set[str]:
    """The names that a module uses, defines or writes as a text."""
    found: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case (
                ast.Name(id=name)
                | ast.Attribute(attr=name)
                | ast.FunctionDef(name=name)
                | ast.ClassDef(name=name)
                | ast.arg(arg=name)
                | ast.Constant(value=str(name))
            ):
                found.add(name)
    return found


def strangers(sources: dict[str, str]) -> list[str]:
    """The names of several parts in docstrings of some modules that no module and nothing in a module has."""
    trees = {module: ast.parse(source) for module, source in sources.items()}
    names = {module: names_in(tree) for module, tree in trees.items()}
    known = set().union(*names.values())

    def is_known(name: str) -> bool:
        if "." not in name:
            return name in known or any(module.endswith(f".{name}") for module in trees)
        place, _, last = name.rpartition(".")
        return any(
            f".{module}".endswith(f".{name}") or (f".{module}".endswith(f".{place}") and last in names[module])
            for module in trees
        )

    return [
        f"{module}: {name}"
        for module, tree in sorted(trees.items())
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        for name in re.findall(r"`([a-z]+(?:[._][a-z]+)+)`", ast.get_docstring(node) or "")
        if not is_known(name)
        and not set(name.split(".")) <= names[module]
        and name not in FOREIGN
        and name.partition(".")[0] not in GOOGLES
    ]


def test_docstrings_name_what_is_there() -> None:
    """A module that was renamed is renamed in docstrings too."""
    assert strangers({"a.b_c": '"""See `d_e`, `b_c`, `a.b_c` and `b_c.x`."""', "a.f": '"""`b_c.y`"""\nx = 1'}) == [
        "a.b_c: d_e",
        "a.b_c: b_c.x",
        "a.f: b_c.y",
    ]
    product = sorted((PROJECT / "testbed").rglob("*.py"))
    modules = {".".join(path.relative_to(PROJECT).with_suffix("").parts): path.read_text() for path in product}
    assert strangers({module.removesuffix(".__init__"): source for module, source in modules.items()}) == []
