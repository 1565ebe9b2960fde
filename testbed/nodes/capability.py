"""What a host has for nodes: a Docker Engine that can limit them, what images are made with, Python and Ansible."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
import shutil
import sys
from pathlib import Path

import docker
import requests
from docker.errors import DockerException

from testbed.capability import Capability, Finding, Probe, on_path
from testbed.json_object import Json
from testbed.nodes.disks import may_have_quota
from testbed.nodes.engine import new_enough, too_old
from testbed.paths import state_root

FREE_DISK = 4 * 2**30
"""Bytes: the built-in images, the layers they are built from, and a testbed's logs and reports."""
DEADLINE = 5
"""Seconds for one answer of the Docker Engine."""
LIMITS = {"MemoryLimit": "memory", "CpuCfsQuota": "cpu", "PidsLimit": "pids"}
"""The limits that nodes are given, as the Engine's `/info` names them, and as cgroups do."""

Info = Json | str
"""What the Docker Engine says about itself, or why it says nothing."""


def docker_info() -> Info:
    """Ask the Docker Engine about itself: `GET /info` with the version's fields that matter here."""
    try:
        client = docker.from_env(timeout=DEADLINE)
    except DockerException as error:
        return f"no answer: {error}"
    try:
        version = client.version()
        return {**client.info(), "ApiVersion": version["ApiVersion"]}
    except (DockerException, requests.RequestException) as error:
        return f"no answer: {error}"
    finally:
        client.close()


def engine(info: Info) -> Finding:
    """Whether there is a Docker Engine, and a new enough one."""
    if isinstance(info, str):
        return Finding(present=False, detail=info)
    api = info["ApiVersion"]
    detail = f"{info['ServerVersion']} (API {api}, {info.get('Driver', '?')})"
    if new_enough(api):
        return Finding(present=True, detail=detail)
    return Finding(present=False, detail=f"{detail}: {too_old(api)}")


def limits(info: Info) -> Finding:
    """Whether containers can be limited."""
    if isinstance(info, str):
        return Finding(present=False, detail=info)
    lacking = [name for field, name in LIMITS.items() if not info.get(field)]
    version = f"cgroup v{info.get('CgroupVersion', '?')}"
    if lacking:
        return Finding(present=False, detail=f"{version} without {', '.join(lacking)}")
    return Finding(present=True, detail=f"{version}: {', '.join(LIMITS.values())}")


def quota(info: Info) -> Finding:
    """Whether the storage driver limits what a container writes."""
    if isinstance(info, str):
        return Finding(present=False, detail=info)
    driver = str(info.get("Driver", "?"))
    if may_have_quota(info):
        return Finding(present=True, detail=f"{driver} on xfs, if it is mounted with pquota")
    return Finding(present=False, detail=f"{driver} has none here: the controller looks at the files of each node")


def nearest_folder(path: Path) -> Path:
    """The folder itself, or the nearest one above it that exists."""
    return next(each for each in (path, *path.parents) if each.is_dir())


def disk(*folders: Path) -> Finding:
    """Whether each of these folders, which may not exist yet, has room."""
    free = {folder: shutil.disk_usage(nearest_folder(folder)).free for folder in folders}
    detail = ", ".join(f"{size / 2**30:.1f} GiB free in {folder}" for folder, size in free.items())
    return Finding(present=min(free.values()) >= FREE_DISK, detail=detail)


def ansible() -> Finding:
    """Whether Ansible is there, and what runs it."""
    try:
        detail = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("ansible-core", "ansible-runner"))
    except importlib.metadata.PackageNotFoundError as error:
        return Finding(present=False, detail=f"no {error.name}")
    return Finding(present=True, detail=detail)


def python() -> Finding:
    """Which Python this is."""
    return Finding(present=sys.version_info >= (3, 11), detail=f"{platform.python_version()} ({sys.executable})")


def probe() -> list[Capability]:
    """Look at everything that nodes need; one question to the Docker Engine answers several."""
    info = docker_info()
    root = Path("/var/lib/docker" if isinstance(info, str) else info["DockerRootDir"])
    probes = (
        Probe(
            "docker",
            "required",
            lambda: engine(info),
            "no nodes: every node is a container",
            "Docker Engine 20.10 or newer: apt install docker.io, or Docker's own packages; systemctl start docker",
        ),
        Probe(
            "resource limits",
            "optional",
            lambda: limits(info),
            "nodes are not limited: one can starve the others",
            "boot with cgroup v2 (Debian's default) and the memory controller on",
        ),
        Probe(
            "disk quota",
            "optional",
            lambda: quota(info),
            "a node that writes more than it may is ended after some seconds, and the write itself does not fail",
            "put Docker's folder on xfs mounted with pquota, and use the storage driver overlay2",
        ),
        Probe(
            "disk",
            "required",
            lambda: disk(root, state_root()),
            "images cannot be built",
            f"free {FREE_DISK // 2**30} GiB: docker system prune, or another $TESTBED_STATE",
        ),
        Probe(
            "mmdebstrap(1)",
            "optional",
            on_path("mmdebstrap"),
            "no images where the base image cannot be pulled from a registry",
            "apt install mmdebstrap",
        ),
        Probe("python", "required", python, "the testbed does not run", "apt install python3.11 python3-venv"),
        Probe(
            "ansible",
            "required",
            ansible,
            "nodes and hosts cannot be configured",
            "make setup, or without a checkout: pip install the wheel again, with what it depends on",
        ),
    )
    return [each.capability() for each in probes]
