"""Makes `docs/fidelity.md`: each statement of the catalogue of Google's behaviour, and what is behind it.

    make fidelity

A test says what it shows (`@pytest.mark.behaviour("4.1.5")`, on a function, or `pytestmark` for a module); what no test
shows is accounted for in `statements.yaml`.  It fails if a statement has lost its last test.
"""

from __future__ import annotations

import ast
import functools
import re
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from testbed.paths import PROJECT

TESTS = PROJECT / "tests"
PAGE = PROJECT / "docs" / "fidelity.md"
_CHAPTERS = {
    "1": "The connector", "2": "Data path and firewall", "3": "Egress settings and protocols", "4": "The VPC network",
    "5": "Monitoring, audit, quotas, regions", "6": "Command line and Terraform",
    "7": "Connectivity Tests and Direct VPC egress",
}  # fmt: skip
_ANSWERS = {
    "built": "built, not shown by a test",
    "choice": "our choice",
    "unbuilt": "not built",
    "outside": "not the testbed's",
}
_SHOWN = re.compile(r"^\| (\S+) \|.*\| shown: ", re.MULTILINE)
_HEAD = """# Fidelity

Written by `make fidelity` from the marks of the tests; do not edit it. The numbers are those of the project's
catalogue of the behaviour of Google's product, by which code and tests cite it ("behaviour 4.1.5").
"""


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement in a few words, and what is to be said of it apart from tests: an answer and its reason."""

    number: str
    what: str
    answer: str | None = None
    why: str = ""


def statements() -> list[Statement]:
    """All of them, in the catalogue's order."""
    text = Path(__file__).with_name("statements.yaml").read_text()
    return sorted(map(_statement, yaml.safe_load(text).items()), key=lambda one: _place(one.number))


def _statement(entry: tuple[str, str | Mapping[str, str]]) -> Statement:
    number, said = entry
    if isinstance(said, str):
        return Statement(number, said)
    ((answer, why),) = ((key, value) for key, value in said.items() if key != "what")
    return Statement(number, said["what"], answer, why)


def _place(number: str) -> tuple[tuple[int, str], ...]:
    parts = number.split(".")
    return tuple((int(part.rstrip("abc")), part.lstrip("0123456789")) for part in parts)


@functools.cache
def shown() -> dict[str, set[str]]:
    """The files of the tests that show each statement, relative to the folder of tests."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for file in TESTS.rglob("test_*.py"):
        for number in _marked(ast.parse(file.read_text())):
            found[number].add(str(file.relative_to(TESTS)))
    return dict(found)


def _marked(tree: ast.AST) -> Iterator[str]:
    """The arguments of every `mark.behaviour(...)`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "behaviour":
            yield from (str(argument.value) for argument in node.args if isinstance(argument, ast.Constant))


def unaccounted() -> list[str]:
    """Statements that no test shows and nobody accounts for, and marks that name no statement."""
    tests, known = shown(), {one.number: one for one in statements()}
    silent = [number for number, one in known.items() if number not in tests and one.answer is None]
    return silent + [f"{number} (no such statement)" for number in sorted(tests.keys() - known.keys())]


def lost(page: str) -> list[str]:
    """Statements that a page says are shown by tests, and that no test shows any more."""
    return sorted(set(_SHOWN.findall(page)) - shown().keys(), key=_place)


def page() -> str:
    """The text of the page."""
    return "".join(_parts())


def _parts() -> Iterator[str]:
    tests, all_of_them = shown(), statements()
    counts = [sum(one.number in tests for one in all_of_them)]
    counts += [sum(one.number not in tests and one.answer == answer for one in all_of_them) for answer in _ANSWERS]
    yield _HEAD
    words = ", ".join(
        f"{count} {what}" for count, what in zip(counts, ["shown by tests", *_ANSWERS.values()], strict=True)
    )
    yield f"\n{len(all_of_them)} statements: {words}.\n"
    for chapter, title in _CHAPTERS.items():
        yield f"\n## {chapter}. {title}\n\n| | statement | |\n| --- | --- | --- |\n"
        for one in all_of_them:
            if one.number.partition(".")[0] == chapter:
                yield f"| {one.number} | {one.what} | {_answer(one, tests.get(one.number, set()))} |\n"


def _answer(one: Statement, tests: set[str]) -> str:
    """Where it is shown, and what else is to be said of it."""
    said = [f"shown: {', '.join(f'`{file}`' for file in sorted(tests))}"] if tests else []
    if one.answer:
        said.append(f"{_ANSWERS[one.answer]}: {one.why}")
    return "; ".join(said)


def main() -> None:
    """Write the page, unless it would say less than before."""
    if missed := lost(PAGE.read_text()):
        sys.exit(
            f"error: no test shows {', '.join(missed)} any more: mark another one (@pytest.mark.behaviour)."
            f"\nhint: what cannot be shown at all is taken out of {PAGE} by hand, then this command runs."
        )
    PAGE.write_text(page())


if __name__ == "__main__":
    main()
