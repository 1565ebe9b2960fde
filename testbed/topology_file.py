"""Reads a topology file, and says of every error where it is (file, line, key), what is there, and the rule."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import yaml
from pydantic import ValidationError

from testbed.errors import InvalidArgument, NotFound
from testbed.model.core.annotations import Path as KeyPath
from testbed.model.core.annotations import annotated, message_in
from testbed.model.core.faults import faults
from testbed.model.core.problem import Problem
from testbed.model.core.resource import Defaults, Resource, SourceFolder, last, relative
from testbed.model.rules.consistency import omissions, problems
from testbed.model.topology import Topology
from testbed.yaml_document import NotYaml, YamlDocument

_LONGEST_VALUE = 60
_UNKNOWN = "not known"
"""Stands for secrets where nothing is made."""
_TEXT = "tag:yaml.org,2002:str"


@dataclass(frozen=True, slots=True)
class FileProblem:
    """One error of a topology file."""

    file: str
    line: int | None
    path: str
    value: str | None
    rule: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        subject = f"{self.path} = {self.value}" if self.value is not None else self.path
        return f"{where}: {subject + ': ' if subject else ''}{self.rule}"


class InvalidTopology(InvalidArgument):
    """A topology file that breaks rules; `faults` lists all of them."""

    def __init__(self, file: str, faults: list[FileProblem]) -> None:
        count = "one error" if len(faults) == 1 else f"{len(faults)} errors"
        super().__init__(f"{file} has {count}:\n" + "\n".join(f"  {fault}" for fault in faults))
        self.faults = faults


def load(path: Path) -> Topology:
    """Read and check a topology file; nothing is made, so any value will do for a secret that it names.

    Raises:
        NotFound: if there is no such file.
        InvalidTopology: if it is not a valid topology.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, IsADirectoryError):
        raise NotFound(
            f"topology file {path}: not found", hint="name one: testbed up examples/serverless-vpc-access.yaml"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidArgument(f"topology file {path}: cannot be read: {error}") from error
    return parse(text, str(path), path.resolve().parent, defaultdict(lambda: _UNKNOWN))


def parse(text: str, file: str, folder: Path, secrets: Mapping[str, str] = MappingProxyType({})) -> Topology:
    """Check the text of a topology file; relative source folders start at `folder`.

    `secrets` are the values of what the file writes as `secret:NAME`.

    Raises:
        InvalidTopology: if it is not a valid topology.
    """
    try:
        document = YamlDocument(text)
    except NotYaml as error:
        raise InvalidTopology(file, [FileProblem(file, error.line, "", None, f"not YAML: {error.problem}")]) from error
    node, data = document.root, document.data
    if node is None or not isinstance(data, dict):
        rule = "a topology must be a mapping with at least name and project"
        raise InvalidTopology(file, [FileProblem(file, 1, "", None, rule)])
    duplicates = list(_duplicate_keys(node, file, set()))
    if duplicates:
        raise InvalidTopology(file, duplicates)
    project, region, zone = (_default(data.get(key)) for key in ("project", "region", "zone"))
    known = Defaults(project or "local", region, zone, str(folder), secrets)
    try:
        topology = Topology.model_validate(data, context=known)
    except ValidationError as error:
        found = [_fault(file, node, one.path, one.shown, one.rule) for one in faults(error, Topology)]
        raise InvalidTopology(file, found) from None
    if broken := list(problems(topology)):
        raise InvalidTopology(file, [_of_problem(file, node, problem) for problem in broken])
    missing = [
        _fault(file, node, folder.path, folder.value, "there is no such folder")
        for folder in annotated(topology, SourceFolder)
        if not Path(folder.value).is_dir()
    ]
    omitted = [_of_problem(file, node, problem) for problem in omissions(topology)]
    if missing or omitted:
        raise InvalidTopology(file, [*omitted, *missing])
    return topology


def _default(value: object) -> str | None:
    """A default, if it is one; if not, validation says what is wrong with it."""
    return last(relative(value)) if isinstance(value, str) else None


def _of_problem(file: str, node: yaml.Node, problem: Problem) -> FileProblem:
    return _fault(file, node, problem.path, problem.value, problem.message)


def _fault(file: str, node: yaml.Node, path: KeyPath, value: object, rule: str) -> FileProblem:
    line, found = _find(node, path)
    text = None if value is None else repr(value)
    if isinstance(found, yaml.ScalarNode):  # what is written, rather than what it was completed to
        text = repr(found.value) if found.tag == _TEXT else found.value
    if text is not None and len(text) > _LONGEST_VALUE:
        text = text[: _LONGEST_VALUE - 3] + "..."
    dotted = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")
    return FileProblem(file, line, dotted, None if _is_secret(path) else text, rule)


def _is_secret(path: KeyPath) -> bool:
    """Whether a value is, or by a slip of the pen was meant to be, a sharedSecret."""
    return bool(path) and "secret" in str(path[-1]).lower()


def _find(node: yaml.Node, path: KeyPath) -> tuple[int, yaml.Node | None]:
    """The line of the deepest node on the path that the file has, and the node itself if that is the whole path."""
    line: int = node.start_mark.line + 1
    kind: type[Resource] | None = Topology
    for part in path:
        child = None
        if isinstance(node, yaml.MappingNode):
            spellings = kind.spellings() if kind else {}
            for key, value in node.value:
                if spellings.get(key.value, key.value) == str(part):
                    child, line = value, key.start_mark.line + 1
            kind = message_in(kind, part) if kind else None
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            child = node.value[part]
            line = child.start_mark.line + 1
        if child is None:
            return line, None
        node = child
    return line, node


def _duplicate_keys(node: yaml.Node, file: str, visited: set[int]) -> Iterator[FileProblem]:
    """YAML's parser lets the last of two equal keys win; here that is an error."""
    if id(node) in visited:  # by another alias, or by itself
        return
    visited.add(id(node))
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                yield FileProblem(file, key.start_mark.line + 1, str(key.value), None, "the key is given twice")
            seen.add(key.value)
            yield from _duplicate_keys(value, file, visited)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from _duplicate_keys(value, file, visited)
