"""What Python packages a source asks for, and whether the runtime has them.

The runtime is one image for all; nothing is installed when something is deployed (Google builds an image with a package
index at hand).  A source can bring packages along: `pip install --target FOLDER -r requirements.txt`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from testbed.nodes.wheels import PYTHON
from testbed.paths import IMAGES

__all__ = ("PYTHON", "RUNTIMES", "missing")

RUNTIMES = tuple(f"python3{minor}" for minor in range(9, 14))
"""Runtimes that are taken; all are run by that version."""
_COMMENT = re.compile(r"(^|\s)#.*$")


def missing(source: Path) -> list[str]:
    """The requirements of a source folder that neither the runtime nor the folder itself fulfils."""
    file = source / "requirements.txt"
    if not file.is_file():
        return []
    there = {**_of_the_runtime(), **dict(_brought(source))}
    return [line for line in _lines(file) if not _fulfilled(line, there)]


def _lines(file: Path) -> Iterator[str]:
    text = file.read_text(encoding="utf-8", errors="replace").replace("\\\n", " ")
    for line in text.splitlines():
        bare = _COMMENT.sub("", line).strip()
        if bare and not bare.startswith(("--index-url", "--extra-index-url", "-i ", "--find-links", "-f ", "--prefer")):
            yield bare.partition(" --hash")[0].strip()


def _fulfilled(line: str, there: dict[str, Version]) -> bool:
    try:
        wanted = Requirement(line)
    except InvalidRequirement:  # another file, a URL, an option: whatever it asks for is not there
        return False
    if wanted.marker is not None and not wanted.marker.evaluate({"python_version": PYTHON}):
        return True
    version = there.get(canonicalize_name(wanted.name))
    return version is not None and wanted.url is None and wanted.specifier.contains(version, prereleases=True)


@cache
def _of_the_runtime() -> dict[str, Version]:
    """The packages of the image `testbed/runtime`: all are pinned."""
    pins = (Requirement(line) for line in _lines(IMAGES / "runtime" / "requirements.txt"))
    return {canonicalize_name(pin.name): Version(next(iter(pin.specifier)).version) for pin in pins}


def _brought(source: Path) -> Iterator[tuple[str, Version]]:
    for info in source.glob("*.dist-info"):
        name, _, version = info.name.removesuffix(".dist-info").rpartition("-")
        try:
            yield canonicalize_name(name), Version(version)
        except InvalidVersion:
            continue
