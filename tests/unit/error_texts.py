"""Every text of an error that the code can make, read off the code.  `errors.golden` lists them; `{name}` is a value.

Run as a module (`make errors`), it writes `errors.golden` anew.
"""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

from testbed.paths import PROJECT

GOLDEN = Path(__file__).with_name("errors.golden")
MARK = "GoogleText"
"""What marks a text as Google's own in the code: `testbed.errors.GoogleText`."""
_DEPTH = 6
"""How many names a text is followed through."""
_MESSAGE: Mapping[str, int] = {"Problem": 1, "InvalidResource": 2, "FileProblem": 4, "ValueError": 0, "TestbedError": 0}
"""Which argument of an error is its text; a subclass is as its base."""
_OWN_ARGUMENTS = frozenset({"InvalidTopology", "Inconsistent", "ServiceDisabled"})
"""Errors that make their texts themselves."""


class Text(NamedTuple):
    """A text, or a part of one."""

    words: str
    googles: bool = False

    def __add__(self, other: object) -> Text:
        """Both, one after the other."""
        assert isinstance(other, Text)
        return Text(self.words + other.words, self.googles or other.googles)


class Entry(NamedTuple):
    """An error in the code."""

    file: str
    error: str
    text: Text
    hint: Text | None = None


class Module(NamedTuple):
    """A module's names: those that it assigns or defines, and those that it imports."""

    tree: ast.Module
    assigned: Mapping[str, ast.expr]
    functions: Mapping[str, ast.FunctionDef]
    imported: Mapping[str, tuple[str, str]]


Scope = tuple[str, tuple[ast.FunctionDef, ...]]
"""A module, and the functions around a place in it, outermost first."""


def path_of(module: str) -> Path:
    """The file of a module."""
    path = PROJECT / module.replace(".", "/")
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@cache
def read(module: str) -> Module:
    """A module of the product."""
    tree = ast.parse(path_of(module).read_text())
    assigned: dict[str, ast.expr] = {}
    functions: dict[str, ast.FunctionDef] = {}
    imported: dict[str, tuple[str, str]] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            assigned[node.targets[0].id] = node.value
        elif isinstance(node, ast.AnnAssign) and node.value and isinstance(node.target, ast.Name):
            assigned[node.target.id] = node.value
        elif isinstance(node, ast.FunctionDef):
            functions[node.name] = node
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "testbed":
            imported |= {known.asname or known.name: (str(node.module), known.name) for known in node.names}
    return Module(tree, assigned, functions, imported)


def placeholder(value: ast.expr) -> str:
    """The name that a value gets in a text."""
    match value:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name.strip("_").lower()
        case ast.Subscript(slice=ast.Constant(value=str(name))):
            return name
        case ast.Call(args=[ast.Constant(value=str(name))]) if name.isidentifier():
            return name
        case (
            ast.Call(func=ast.Attribute(value=ast.Constant(value=str())), args=[inner, *_])  # ", ".join(names)
            | ast.Call(func=ast.Attribute(value=inner))
            | ast.Subscript(value=inner)
            | ast.Call(args=[inner, *_])
            | ast.BoolOp(values=[inner, *_])
            | ast.BinOp(left=inner)
            | ast.IfExp(body=inner)
        ):
            return placeholder(inner)
    return "value"


def texts(value: ast.expr | None, scope: Scope, depth: int = 0) -> Iterator[Text]:
    """The texts that an expression can be."""
    module = scope[0]
    match value:
        case None | ast.Constant(value=None):
            return
        case ast.Constant(value=str(words)):
            yield Text(words)
        case ast.JoinedStr(values=parts):
            yield from combined([_part(part) for part in parts])
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            yield from combined([list(texts(left, scope, depth)), list(texts(right, scope, depth))])
        case ast.IfExp(body=body, orelse=other):
            yield from texts(body, scope, depth)
            yield from texts(other, scope, depth)
        case ast.Call(func=ast.Name(id=name), args=[inner]) if name == MARK:
            yield from (text._replace(googles=True) for text in texts(inner, scope, depth))
        case ast.Name(id=name) if depth < _DEPTH:
            found = list(_named(name, scope, depth + 1))
            yield from found or [Text(f"{{{placeholder(value)}}}")]
        case ast.Call(func=ast.Name(id=name)) if depth < _DEPTH:
            known, at = _function(name, module)
            returned = [node.value for node in ast.walk(known) if isinstance(node, ast.Return)] if known else []
            inside = [text for one in returned for text in texts(one, (at, (known,) if known else ()), depth + 1)]
            yield from inside or [Text(f"{{{placeholder(value)}}}")]
        case ast.expr():
            yield Text(f"{{{placeholder(value)}}}")


def _part(part: ast.expr) -> list[Text]:
    match part:
        case ast.Constant(value=str(words)):
            return [Text(words)]
        case ast.FormattedValue(value=inner):
            return [Text(f"{{{placeholder(inner)}}}")]
    raise AssertionError(ast.dump(part))


def combined(parts: list[list[Text]]) -> Iterator[Text]:
    """Each text that the alternatives of some parts make."""
    for chosen in itertools.product(*parts):
        whole = Text("")
        for part in chosen:
            whole = whole + part
        yield whole


def _named(name: str, scope: Scope, depth: int) -> Iterator[Text]:
    """The texts that are assigned to a name, in the function around it, its module, or where it is imported from."""
    module, functions = scope
    for number, function in reversed(list(enumerate(functions))):
        found = [
            node.value
            for node in ast.walk(function)
            if isinstance(node, ast.Assign)
            and any(isinstance(target, ast.Name) and target.id == name for target in node.targets)
        ]
        if found:
            for one in found:
                yield from texts(one, (module, functions[: number + 1]), depth)
            return
    if value := read(module).assigned.get(name):
        yield from texts(value, (module, ()), depth)
    elif where := read(module).imported.get(name):
        yield from _named(where[1], (where[0], ()), depth)


def _function(name: str, module: str) -> tuple[ast.FunctionDef | None, str]:
    if known := read(module).functions.get(name):
        return known, module
    if (where := read(module).imported.get(name)) and path_of(where[0]).exists():
        return read(where[0]).functions.get(where[1]), where[0]
    return None, module


@cache
def modules() -> tuple[str, ...]:
    """All modules of the product."""
    paths = (path.relative_to(PROJECT) for path in sorted((PROJECT / "testbed").rglob("*.py")))
    return tuple(".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in paths)


@cache
def classes() -> Mapping[str, int]:
    """The classes of errors, and which argument of each is its text."""
    bases = {
        node.name: base.id
        for module in modules()
        for node in ast.walk(read(module).tree)
        if isinstance(node, ast.ClassDef)
        for base in node.bases
        if isinstance(base, ast.Name)
    }
    found = dict(_MESSAGE)
    for _ in range(4):
        found = {name: found[base] for name, base in bases.items() if base in found} | found
    return {name: place for name, place in found.items() if name not in _OWN_ARGUMENTS}


def _visit(node: ast.AST, scope: Scope) -> Iterator[Entry]:
    module, functions = scope
    match node:
        case ast.FunctionDef():
            scope = (module, (*functions, node))
        case ast.ClassDef(name=name) if name in _OWN_ARGUMENTS:
            for inner in ast.walk(node):
                match inner:
                    case ast.Call(func=ast.Attribute(value=ast.Call(func=ast.Name(id="super"))), args=[text, *_]):
                        yield from (Entry(module, name, found) for found in texts(text, scope))
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name), args=args) if name in classes():
            place = classes()[name]
            hints = [keyword.value for keyword in node.keywords if keyword.arg == "hint"]
            hint = next((text for one in hints for text in texts(one, scope)), None)
            yield from (
                Entry(module, name, text, hint) for text in texts(args[place] if len(args) > place else None, scope)
            )
        case ast.Dict(keys=keys, values=values):
            items = zip(keys, values, strict=True)
            fields = {key.value: value for key, value in items if isinstance(key, ast.Constant)}
            if "message" in fields and "code" in fields:
                yield from (Entry(module, "operation", text) for text in texts(fields["message"], scope))
    for child in ast.iter_child_nodes(node):
        yield from _visit(child, scope)


@cache
def entries() -> tuple[Entry, ...]:
    """All errors of the product that have words of their own, by module and text."""
    found = {entry for module in modules() for entry in _visit(read(module).tree, (module, ()))}
    return tuple(sorted(entry for entry in found if any(map(str.isalpha, own_words(entry.text.words)))))


def own_words(text: str) -> str:
    """A text without the values in it."""
    depth, kept = 0, []
    for letter in text:
        depth += {"{": 1, "}": -1}.get(letter, 0)
        if depth == 0 and letter != "}":
            kept.append(letter)
    return "".join(kept)


def golden() -> str:
    """What `errors.golden` has to be."""
    lines = ["The texts of all errors, by module; Google's own are marked with a G.  `make errors` writes this file."]
    for module, group in itertools.groupby(entries(), key=lambda entry: entry.file):
        lines += ["", module]
        for entry in group:
            mark = "G" if entry.text.googles else " "
            lines.append(f"{mark} {entry.error}: {entry.text.words}".replace("\n", "\\n"))
            if entry.hint:
                lines.append(f"      hint: {entry.hint.words}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    GOLDEN.write_text(golden())
