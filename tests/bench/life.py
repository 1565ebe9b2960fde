"""How long a testbed takes to come up and to go."""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from testbed.nodes.engine import connect
from testbed.nodes.images import Images
from testbed.paths import IMAGES
from tests.e2e.program import Program, example

_LABEL = "dev.testbed.bench"


@dataclass
class Times:
    """Seconds, by what took them; one for each repetition."""

    up: list[float] = field(default_factory=list)
    unchanged: list[float] = field(default_factory=list)
    down: list[float] = field(default_factory=list)
    nodes: int = 0

    def medians(self) -> dict[str, float]:
        """The results, in seconds."""
        up = median(self.up)
        return {
            "up": up,
            "up, per node": up / self.nodes,
            "up, nothing to change": median(self.unchanged),
            "down": median(self.down),
        }


@contextmanager
def program(folder: Path) -> Iterator[Program]:
    """A testbed of the bench's own, taken down afterwards."""
    made = Program(f"bench-{secrets.token_hex(2)}", folder, folder / "state")
    try:
        yield made
    finally:
        made.down()


def repeat(bed: Program, times: Times, repeats: int) -> None:
    """Bring the example up and down several times; at the end it is up."""
    topology = {**example(bed.name), "capacity": "off"}  # the data path is measured, and not its limits
    for _ in range(repeats):
        times.up.append(taken(lambda: bed.up(topology)))
        times.unchanged.append(taken(lambda: bed.up(topology)))
        times.nodes = len(bed.json("status")["nodes"])
        times.down.append(taken(lambda: bed.run("down")))
    bed.up(topology)


def images(folder: Path) -> float:
    """Seconds to build all images with nothing that could be used again but the base image.

    The builds are those of a copy with one more label, which every image inherits: so no layer is known, and what was
    built can be found and removed.
    """
    value = secrets.token_hex(4)
    copy = shutil.copytree(IMAGES, folder / "images")
    dockerfile = copy / "base" / "Dockerfile"
    dockerfile.write_text(dockerfile.read_text().replace("FROM ${BASE}\n", f"FROM ${{BASE}}\nLABEL {_LABEL}={value}\n"))
    client = connect()
    names = [f"testbed/{path.parent.name}" for path in copy.glob("*/Dockerfile")]
    try:
        return taken(lambda: Images(client, lambda *_: None, folder=copy).ensure(names))
    finally:
        while found := client.images.list(filters={"label": f"{_LABEL}={value}"}):
            for image in found:
                client.images.remove(str(image.id), force=True)
        client.close()


def taken(work: Callable[[], object]) -> float:
    """The seconds that some work took."""
    began = time.monotonic()
    work()
    return time.monotonic() - began
