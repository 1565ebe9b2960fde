"""The locks: what is installed is what the project asks for, in versions and files that are known beforehand."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from testbed.nodes.wheels import PYTHON
from testbed.paths import IMAGES, PROJECT

RUNTIME, DEV = (PROJECT / "locks" / f"{name}.txt" for name in ("runtime", "dev"))
COMPOSE = IMAGES / "testbed.requirements.txt"
OF_IMAGES = sorted(IMAGES.glob("*/requirements.txt"))
LOCKS = [RUNTIME, DEV, COMPOSE, *OF_IMAGES]
PYTHONS = ("3.11", "3.12", "3.13")
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Pin:
    """A package as a lock has it."""

    version: str
    marker: Marker | None
    hashes: int
    asked_for: bool
    """By the project, and not only by other packages."""

    def applies(self, python: str) -> bool:
        environment = {"python_version": python, "python_full_version": f"{python}.9", "sys_platform": "linux"}
        return self.marker is None or self.marker.evaluate(environment)


def pins(lock: Path) -> dict[str, Pin]:
    """The packages of a lock by name: no lock has one twice."""
    found: dict[str, Pin] = {}
    for block in re.split(r"\n(?=[a-z])", lock.read_text()):
        if block.startswith("#"):
            continue
        text, _, rest = block.partition(" \\\n")
        wanted = Requirement(text)
        (version,) = (one.version for one in wanted.specifier if one.operator == "==")
        assert wanted.name not in found
        asked_for = re.search(r"(via|#  ) (testbed \(pyproject\.toml\)|-r .*\.in)$", rest, re.MULTILINE) is not None
        found[wanted.name] = Pin(version, wanted.marker, len(HASH.findall(rest)), asked_for)
    return found


def asked_for(lock: Path) -> Iterator[Requirement]:
    """What a lock is made from."""
    if lock in OF_IMAGES:
        lines = lock.with_suffix(".in").read_text().splitlines()
        yield from (Requirement(line) for line in lines if not line.startswith("#"))
        return
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    yield from map(Requirement, project["dependencies"])
    if lock == DEV:
        yield from map(Requirement, project["optional-dependencies"]["dev"])


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: str(lock.relative_to(PROJECT)))
def test_a_lock_is_of_what_the_project_asks_for(lock: Path) -> None:
    locked, wanted = pins(lock), {canonicalize_name(one.name): one for one in asked_for(lock)}
    assert {name for name, pin in locked.items() if pin.asked_for} == set(wanted), "make lock"
    for name, one in wanted.items():
        assert one.specifier.contains(locked[name].version), f"make lock: {name} {locked[name].version}"
        assert all(locked[name].applies(python) for python in PYTHONS)


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: str(lock.relative_to(PROJECT)))
def test_every_package_has_hashes_and_none_comes_from_a_certain_place(lock: Path) -> None:
    assert all(pin.hashes for pin in pins(lock).values())
    assert "://" not in lock.read_text()
    assert not re.search(r"^\s*-", HASH.sub("", lock.read_text()), re.MULTILINE), "an option of pip's"


def test_the_project_asks_for_ranges() -> None:
    assert all(one.specifier and "==" not in str(one.specifier) for lock in LOCKS for one in asked_for(lock))


def test_all_locks_have_the_same_versions() -> None:
    """So that what is tested and type-checked is what runs, in images too: Locust, Flask, redis."""
    dev = pins(DEV)
    for lock in LOCKS:
        for name, pin in pins(lock).items():
            if name in dev:
                assert pin.version == dev[name].version, f"{name} in {lock}"
    assert pins(RUNTIME).keys() <= dev.keys()


def test_images_need_no_markers_since_they_have_one_python() -> None:
    assert all(pin.marker is None for lock in (COMPOSE, *OF_IMAGES) for pin in pins(lock).values())
    needed = {name for name, pin in pins(RUNTIME).items() if pin.applies(PYTHON)}
    assert pins(COMPOSE).keys() == needed
