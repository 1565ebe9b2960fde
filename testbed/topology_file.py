"""Reads a topology file, and says of every error which file, line and key it is, what stands there and which rule it breaks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from testbed.errors import InvalidArgument, NotFound
from testbed.model.base import Defaults
from testbed.model.checks import Inconsistent
from testbed.model.topology import Topology

_SECRET = ("sharedSecret", "shared-secret")
_LONGEST_VALUE = 60


@dataclass(frozen=True, slots=True)
class Fault:
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

    def __init__(self, file: str, faults: list[Fault]) -> None:
        count = "one error" if len(faults) == 1 else f"{len(faults)} errors"
        super().__init__(f"{file} has {count}:\n" + "\n".join(f"  {fault}" for fault in faults))
        self.faults = faults


def load(path: Path) -> Topology:
    """Read and check a topology file; nothing is made.

    Raises:
        NotFound: if there is no such file.
        InvalidTopology: if it is not a valid topology.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, IsADirectoryError):
        raise NotFound(
            f"there is no topology file {path}", hint="name one: testbed up examples/serverless-vpc-access.yaml"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidArgument(f"{path} cannot be read: {error}") from error
    return parse(text, str(path), path.resolve().parent)


def parse(text: str, file: str, folder: Path) -> Topology:
    """Check the text of a topology file; relative source folders start at `folder`.

    Raises:
        InvalidTopology: if it is not a valid topology.
    """
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        raise InvalidTopology(file, [Fault(file, line, "", None, f"not YAML: {error.problem}")]) from error
    except yaml.YAMLError as error:
        raise InvalidTopology(file, [Fault(file, None, "", None, f"not YAML: {error}")]) from error
    duplicates = list(_duplicate_keys(node, file))
    if duplicates:
        raise InvalidTopology(file, duplicates)
    if not isinstance(data, dict):
        raise InvalidTopology(file, [Fault(file, 1, "", None, "a topology is a mapping with at least name and project")])
    known = Defaults(*(_text(data.get(key)) for key in ("project", "region", "zone")), folder=str(folder))
    try:
        topology = Topology.model_validate(data, context=known._replace(project=known.project or "local"))
    except ValidationError as error:
        raise InvalidTopology(file, list(_faults(error, node, file))) from None
    missing = [w for w in topology.workloads if w.source is not None and not Path(w.source).is_dir()]
    if missing:
        faults = [Fault(file, None, w.name, w.source, "the source folder does not exist") for w in missing]
        raise InvalidTopology(file, faults)
    return topology


def _text(value: Any) -> Any:
    return value if isinstance(value, str) else None


def _faults(error: ValidationError, node: yaml.Node | None, file: str) -> Iterator[Fault]:
    for item in error.errors(include_url=False):
        cause = item.get("ctx", {}).get("error")
        if isinstance(cause, Inconsistent):
            for problem in cause.problems:
                yield _fault(file, node, problem.path, problem.value, problem.message)
            continue
        rule = item["msg"].removeprefix("Value error, ")
        if item["type"] == "extra_forbidden":
            rule = "unknown key"
        shown = None if item["type"] == "missing" or isinstance(item["input"], dict | list | tuple) else item["input"]
        yield _fault(file, node, item["loc"], shown, rule)


def _fault(file: str, node: yaml.Node | None, path: tuple[str | int, ...], value: object, rule: str) -> Fault:
    text = None if value is None or path[-1:] and path[-1] in _SECRET else repr(value)
    if text is not None and len(text) > _LONGEST_VALUE:
        text = text[: _LONGEST_VALUE - 3] + "..."
    dotted = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")
    return Fault(file, _line(node, path), dotted, text, rule)


def _line(node: yaml.Node | None, path: tuple[str | int, ...]) -> int | None:
    """The line of the deepest node on the path that the file has."""
    if node is None:
        return None
    line: int = node.start_mark.line + 1
    for part in path:
        child = None
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if _same_key(key.value, part):
                    child, line = value, key.start_mark.line + 1
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            child = node.value[part]
            line = child.start_mark.line + 1
        if child is None:
            return line
        node = child
    return line


def _same_key(written: str, part: str | int) -> bool:
    return str(part).replace("-", "").lower() == written.replace("-", "").lower()


def _duplicate_keys(node: yaml.Node | None, file: str) -> Iterator[Fault]:
    """YAML's parser lets the last of two equal keys win; here that is an error."""
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                yield Fault(file, key.start_mark.line + 1, str(key.value), None, "the key stands twice")
            seen.add(key.value)
            yield from _duplicate_keys(value, file)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from _duplicate_keys(value, file)
