"""The containers of a testbed, started by Docker alone: the least that an `up` can take."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

from docker.models.containers import Container

from testbed.nodes.container import KIND, NAME
from testbed.nodes.docker import WORKERS
from testbed.nodes.engine import connect
from tests.bench.figures import taken
from tests.e2e.program import Program

_LABEL = "dev.testbed.bench"


def images_of(bed: Program, kind: str | None = None) -> list[str]:
    """The image of each container that runs for a testbed, or of those of a kind of node."""
    labels = [f"{NAME}={bed.name}", *([f"{KIND}={kind}"] if kind else [])]
    with closing(connect()) as client:
        running = client.containers.list(filters={"label": labels})
        return [str(one.attrs["Image"]) for one in running]


def start(images: Sequence[str]) -> float:
    """Seconds to create and start a container of each image; as many at a time as the testbed starts."""
    label = {_LABEL: secrets.token_hex(4)}
    with closing(connect()) as client, ThreadPoolExecutor(WORKERS) as pool:

        def one(image: str) -> Container:
            return client.containers.run(
                image, ["infinity"], entrypoint=["sleep"], detach=True, network_mode="none", labels=label
            )

        try:
            return taken(lambda: list(pool.map(one, images)))
        finally:
            made = client.containers.list(
                all=True, filters={"label": [f"{key}={value}" for key, value in label.items()]}
            )
            list(pool.map(lambda container: container.remove(force=True, v=True), made))
