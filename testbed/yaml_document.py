"""One YAML document: its nodes, which know their lines, and its data; whatever is wrong with it is one error.

libyaml parses it where PyYAML comes with it, as its wheels do: ten times as fast as PyYAML's own parser.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml
from yaml.constructor import SafeConstructor

LOADER: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
DEEPEST = 100
"""Levels that a document may have.  Some of what reads it goes down level by level, as Python's own functions do."""


class NotYaml(Exception):  # noqa: N818 - what the text is
    """A text that is no YAML; `line` counts from 1, and is None where it is not known."""

    def __init__(self, line: int | None, problem: str) -> None:
        super().__init__(problem)
        self.line = line
        self.problem = problem


class YamlDocument:
    """A text's one document.

    Raises:
        NotYaml: it is none.
    """

    def __init__(self, text: str) -> None:
        try:
            self.root: yaml.Node | None = yaml.compose(text, Loader=LOADER)
            if self.root is not None:
                _check_depth(self.root)
            self.data: object = None if self.root is None else _Constructor().construct_document(self.root)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark
            raise NotYaml(mark.line + 1 if mark else None, str(error.problem)) from error
        except yaml.reader.ReaderError as error:
            raise NotYaml(_line_of(text, error), str(error.reason)) from error
        except RecursionError as error:
            raise NotYaml(None, _TOO_DEEP) from error


_TOO_DEEP = f"it is nested more than {DEEPEST} levels deep"


class _Constructor(SafeConstructor):
    """Python values of nodes; a value that Python cannot hold is an error with a line, as all others are."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:  # noqa: FBT001, FBT002 - PyYAML's
        try:
            return super().construct_object(node, deep)
        except ValueError as error:  # 2026-13-01, a number of 5,000 digits
            raise yaml.MarkedYAMLError(problem=str(error), problem_mark=node.start_mark) from None


def _check_depth(root: yaml.Node) -> None:
    """Without recursion: a document may be deeper than Python's stack.

    Raises:
        NotYaml: it is too deep.
    """
    level, seen, depth = [root], {id(root)}, 0
    while level:
        if depth > DEEPEST:
            raise NotYaml(level[0].start_mark.line + 1, _TOO_DEEP)
        depth += 1
        below = [child for node in level for child in _children(node) if id(child) not in seen]
        seen |= {id(child) for child in below}
        level = below


def _children(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield key
            yield value
    elif isinstance(node, yaml.SequenceNode):
        yield from node.value


def _line_of(text: str, error: yaml.reader.ReaderError) -> int:
    """libyaml counts bytes, PyYAML's own parser characters."""
    before = text.encode()[: error.position].decode(errors="ignore") if LOADER is not yaml.SafeLoader else text
    return before.count("\n", 0, error.position) + 1
