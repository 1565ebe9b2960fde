"""Whose containers are, as their labels say."""

from __future__ import annotations

from pathlib import Path

import docker

from testbed.nodes.container import FOLDER, ID, NAME
from testbed.nodes.engine import engine_errors


def ids(client: docker.DockerClient, testbed: str, folder: Path) -> frozenset[str]:
    """The ids that containers of a testbed carry, by its name and its state folder.

    Raises:
        Unavailable: Docker does not answer.
    """
    with engine_errors("Listing containers"):
        listed = client.api.containers(all=True, filters={"label": [f"{NAME}={testbed}", f"{FOLDER}={folder}"]})
    return frozenset(item["Labels"][ID] for item in listed)
