"""What Python packages a source asks for, and whether the runtime has them.

A source can bring packages along: `pip install --target FOLDER -r requirements.txt`.  The others are installed at its
deployment (`installer`), but only what an index has: no program of a source runs where the host's network is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from testbed.errors import FailedPrecondition, GoogleText
from testbed.nodes.wheels import PYTHON
from testbed.paths import IMAGES

__all__ = ("PYTHON", "RUNTIMES", "BuildFailed", "Wanted", "wanted")

RUNTIMES = tuple(f"python3{minor}" for minor in range(9, 14))
"""Runtimes that are taken; all are run by that version."""
FILE = "requirements.txt"
_SERVERS = ("functions-framework", "gunicorn")
"""What serves a source: a version that fits to what the source asks for."""
_COMMENT = re.compile(r"(^|\s)#.*$")
_INCLUDED = re.compile(r"(?:-r|--requirement|-c|--constraint)[ =]*(\S+)")
_ABOUT_INDEXES = ("-i", "--index-url", "--extra-index-url", "-f", "--find-links", "--no-index", "--trusted-host")
"""The user's pip says where packages come from, and a source does not."""
_WITHOUT_EFFECT = ("--prefer-binary", "--require-hashes", "--only-binary", "--no-binary", "--use-feature")
_DEEPEST = 8


class BuildFailed(FailedPrecondition):
    """A source that cannot be built: the error of its deployment."""

    def __init__(self, text: str) -> None:
        super().__init__(GoogleText(f"Build failed: {text}"))


@dataclass(slots=True)
class Wanted:
    """What pip is asked for, in the lines of a requirements file."""

    requirements: list[str] = field(default_factory=list)
    constraints: list[str] = field(default_factory=list)


def wanted(source: Path) -> Wanted | None:
    """What has to be installed for a source folder; None if it and the runtime have all of it.

    Raises:
        BuildFailed: it asks for something that no index has.
    """
    found = Wanted()
    if (source / FILE).is_file():
        _read(source, source / FILE, found.requirements, found.constraints, _DEEPEST)
    brought = dict(_brought(source))
    there = {**_of_the_runtime(), **brought}
    if all(_fulfilled(line, there) for line in found.requirements):
        return None
    found.requirements = [line for line in found.requirements if not _fulfilled(line, brought)]
    if not any("--hash" in line for line in found.requirements):  # else every line needs one
        found.requirements += _SERVERS
    return found


def _read(source: Path, file: Path, requirements: list[str], constraints: list[str], depth: int) -> None:
    for line in _lines(file):
        if included := _INCLUDED.fullmatch(line):
            other = (file.parent / included[1]).resolve()
            if not other.is_relative_to(source.resolve()) or not other.is_file() or not depth:
                raise BuildFailed(f"{file.name} asks for the file {included[1]}, which the source does not have")
            into = constraints if line.startswith(("-c", "--constraint")) else requirements
            _read(source, other, into, constraints, depth - 1)
        elif line == "--pre":
            requirements.append(line)
        elif not line.startswith((*_ABOUT_INDEXES, *_WITHOUT_EFFECT)):
            _check(file, line)
            requirements.append(line)


def _check(file: Path, line: str) -> None:
    text = line.partition(" --hash")[0].strip()
    try:
        requirement = Requirement(text)
    except InvalidRequirement:
        requirement = None
    if requirement is None or requirement.url is not None:
        raise BuildFailed(
            f"{file.name} asks for {text[:200]!r}, and the testbed installs only packages of an index, by their names;"
            " bring it along in the source: pip install --target FOLDER"
        )


def _lines(file: Path) -> Iterator[str]:
    text = file.read_text(encoding="utf-8", errors="replace").replace("\\\n", " ")
    for line in text.splitlines():
        if bare := " ".join(_COMMENT.sub("", line.lstrip("\ufeff")).split()):
            yield bare


def _fulfilled(line: str, there: dict[str, Version]) -> bool:
    if line.startswith("--"):
        return True
    requirement = Requirement(line.partition(" --hash")[0])
    if requirement.marker is not None and not requirement.marker.evaluate({"python_version": PYTHON}):
        return True
    version = there.get(canonicalize_name(requirement.name))
    return version is not None and requirement.specifier.contains(version, prereleases=True)


@cache
def _of_the_runtime() -> dict[str, Version]:
    """The packages of the image `testbed/runtime`: all are pinned."""
    lines = _lines(IMAGES / "runtime" / FILE)
    pins = (Requirement(line.partition(" --hash")[0]) for line in lines)
    return {canonicalize_name(pin.name): Version(next(iter(pin.specifier)).version) for pin in pins}


def _brought(source: Path) -> Iterator[tuple[str, Version]]:
    for info in source.glob("*.dist-info"):
        name, _, version = info.name.removesuffix(".dist-info").rpartition("-")
        try:
            yield canonicalize_name(name), Version(version)
        except InvalidVersion:
            continue
