"""Testbeds for the end-to-end tests."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.nodes.engine import connect
from testbed.nodes.images import Images
from testbed.paths import IMAGES
from tests.e2e.program import Program, example


@pytest.fixture(scope="session", autouse=True)
def _images() -> None:
    """Build what is not built yet; on a new machine that takes minutes, and no test should be blamed for them."""
    names = [f"testbed/{file.parent.name}" for file in IMAGES.glob("*/Dockerfile")]
    Images(connect(), lambda *_: None).ensure(names)


def _program(folder: Path, prefix: str) -> Program:
    return Program(f"{prefix}-{secrets.token_hex(2)}", folder, folder / "state")


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """The example, up for the whole session.  A test that changes its topology puts it back with `up(example(...))`."""
    program = _program(tmp_path_factory.mktemp("demo"), "e2e")
    try:
        program.up(example(program.name))
        yield program
    finally:
        program.down()


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    """A testbed of the test's own, not up yet; taken down afterwards."""
    made = _program(tmp_path, "own")
    try:
        yield made
    finally:
        made.down()
