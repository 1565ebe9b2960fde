"""What all groups of figures share: a testbed of the example, and how its program is run."""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.program import Program, example


@dataclass(frozen=True, slots=True)
class Setting:
    """How often and how long is measured, and on what."""

    repeats: int
    seconds: float
    """Of traffic, for each measurement of a data path."""
    folder: Path
    bed: Program
    """Has the example, or nothing."""

    def example(self) -> dict[str, Any]:
        """The example; its connector carries what the machine can, as the data path is measured and not its limits."""
        return {**example(self.bed.name), "capacity": "off"}

    def example_up(self) -> Program:
        """The testbed, with the example."""
        self.up(self.bed, self.example())
        return self.bed

    def up(self, bed: Program, topology: dict[str, Any]) -> None:
        """`testbed up`."""
        self.run(bed, "up", bed.file(topology), "--yes")

    def run(self, bed: Program, *arguments: str) -> str:
        """Run the program as users do, with all that it imports; returns what it prints.

        Raises:
            RuntimeError: it failed.
        """
        command = bed.command(*arguments)
        ended = subprocess.run(command, env=bed.variables(), capture_output=True, text=True, check=False)
        if ended.returncode:
            raise RuntimeError(f"{' '.join(arguments)}: {ended.stdout}{ended.stderr}")
        return ended.stdout

    @contextmanager
    def program(self) -> Iterator[Program]:
        """A testbed of a group's own, taken down afterwards."""
        with program(self.folder) as made:
            yield made


@contextmanager
def program(folder: Path) -> Iterator[Program]:
    """A testbed of the bench's own, taken down afterwards."""
    made = Program(f"bench-{secrets.token_hex(2)}", folder, folder / "state")
    try:
        yield made
    finally:
        made.down()
