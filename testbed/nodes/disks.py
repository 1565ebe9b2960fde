"""What the files of a container take, beyond those of its image: its own layer, and volumes that its image asks for."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import docker

from testbed.nodes import tree

BLOCK = 512
"""Bytes of a block as stat(2) counts them."""
_PAGE = 4096
"""Bytes that a file takes at least.  An archive does not count so; twice its size is enough."""


def may_have_quota(info: Mapping[str, Any]) -> bool:
    """Whether the engine may limit what a container writes: its driver can, if xfs is mounted with project quotas."""
    backing = dict(info.get("DriverStatus") or ()).get("Backing Filesystem", "")
    return info.get("Driver") == "overlay2" and backing == "xfs"


def used(client: docker.DockerClient, container: str) -> int:
    """Bytes on the disk.

    Raises:
        docker.errors.NotFound: there is no such container.
    """
    attributes = client.api.inspect_container(container)
    layer = (attributes.get("GraphDriver", {}).get("Data") or {}).get("UpperDir", "")
    volumes = sum(_taken(Path(mount["Source"])) for mount in attributes["Mounts"] if mount["Type"] == "volume")
    if layer and Path(layer).is_dir():
        return _taken(Path(layer)) + volumes
    # The driver has no such folder, or this process does not see it: the engine looks itself, which takes longer.
    listed = client.api.containers(all=True, size=True, filters={"id": container})
    return sum(int(item.get("SizeRw", 0)) for item in listed) + volumes


def brought(source: Path | None, packages: Path | None) -> int:
    """Bytes that a container may take for what is put into it: a source, and the archive of its packages."""
    files = tree.entries(source) if source is not None else ()
    sizes = sum(-(-path.lstat().st_size // _PAGE) * _PAGE for path in files)
    return sizes + (2 * packages.stat().st_size if packages is not None else 0)


def _taken(folder: Path) -> int:
    return sum(_blocks(path) for path in _files(folder)) * BLOCK


def _files(folder: Path) -> Iterator[str]:
    for place, folders, names in os.walk(folder):  # what vanishes meanwhile is left out
        yield from (f"{place}/{name}" for name in (*folders, *names))


def _blocks(path: str) -> int:
    try:
        return os.lstat(path).st_blocks
    except OSError:
        return 0
