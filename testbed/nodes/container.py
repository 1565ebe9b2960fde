"""A node of the plan as a container: what Docker is asked for, and what its labels say."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from docker.types import Ulimit

from testbed.fabric.naming import host_name
from testbed.fabric.plan import Node
from testbed.json_object import Json
from testbed.model.core.ranges import METADATA_SERVER
from testbed.nodes import seccomp, secret_environment, tree, trust
from testbed.paths import state_root

NAME = "dev.testbed.name"
ID = "dev.testbed.id"
FOLDER = "dev.testbed.folder"
"""The testbed's state folder: what proves whose a container is when its state, which has the id, is lost."""
NODE = "dev.testbed.node"
KIND = "dev.testbed.kind"
SPEC = "dev.testbed.spec"
DISK = "dev.testbed.disk"

USER = 1000
"""The user and group `testbed` of the built-in images; the owner of a workload's source."""
WORKSPACE = PurePath("workspace")
NO_DNS = "127.0.0.1"
"""Nothing listens there: a name that /etc/hosts does not have fails at once, rather than after the host's time-out."""
NO_SEARCH = (".",)
"""Lest Docker takes the host's search domains."""
HOST_NAME_MAX = 64
"""Characters of a host name (sethostname(2))."""
PROCESSES = 512
"""A limit on processes and threads, so that one node cannot exhaust the machine."""
SYSCTLS = {
    "net.ipv4.ping_group_range": "0 2147483647",  # ping without CAP_NET_RAW
    "net.ipv4.ip_unprivileged_port_start": "0",  # port 80 without CAP_NET_BIND_SERVICE
}
SHARES = 1024
"""Docker's shares of the processors for one that has none given."""
LOG = {"type": "json-file", "config": {"max-size": "10m", "max-file": "2"}}


@dataclass(frozen=True, slots=True)
class RunningNode:
    """A node's container as Docker knows it."""

    name: str
    kind: str
    spec: str
    """The hash of what it was made from (`spec_hash`)."""
    state: str
    """Docker's word: `created`, `running`, `paused`, `restarting`, `removing`, `exited` or `dead`."""
    pid: int
    """The container's first process on the host: its namespaces are /proc/PID/ns; 0 where it does not run."""
    image: str
    """The image's id."""
    container: str
    """The container's id."""
    disk: int = 0
    """Bytes that its files may take, beyond those of its image; 0 where nothing is said of that."""


def owner_labels(testbed: str, testbed_id: str) -> dict[str, str]:
    """The labels that say whose a container is."""
    return {NAME: testbed, ID: testbed_id, FOLDER: str((state_root() / testbed).absolute())}


def running_node(attributes: Mapping[str, Any]) -> RunningNode:
    """What Docker's answer to `inspect` says about a node."""
    labels = attributes["Config"]["Labels"]
    return RunningNode(
        name=labels[NODE],
        kind=labels[KIND],
        spec=labels[SPEC],
        state=attributes["State"]["Status"],
        pid=attributes["State"]["Pid"],
        image=attributes["Image"],
        container=attributes["Id"],
        disk=int(labels.get(DISK, 0)),
    )


def spec_hash(node: Node, image: str, key: str) -> str:
    """A hash of everything that a node's container is made from: another hash means another container.

    `image` is the image's id.  The source counts with its content.  What Ansible configures does not count (`role`,
    `variables`), nor do `files`: that is done again to the same container.  The environment may hold secrets, which is
    why the hash is keyed: without the key it does not even confirm a guess.

    Raises:
        OSError: the source cannot be read.

    """
    spec = {
        "image": image,
        "name": node.name,
        "kind": node.kind,
        "command": node.command,
        "entrypoint": node.entrypoint,
        "environment": dict(node.environment),
        "secrets": dict(node.secrets),
        "source": tree.digest(Path(node.source)) if node.source else None,
        "capabilities": sorted(node.capabilities),
        "root": node.root,
        "devices": sorted(node.devices),
        "limits": [node.memory, node.disk, node.cores],
        "hosts": dict(node.hosts),
        "client": node.is_client,
        "search": node.search,
        "fixed": [SYSCTLS, LOG, PROCESSES, NO_DNS, NO_SEARCH, dict(trust.ENVIRONMENT), seccomp.profile()],
    }
    secret = hashlib.sha256(key.encode()).digest()
    return hashlib.blake2b(json.dumps(spec, sort_keys=True).encode(), key=secret, digest_size=16).hexdigest()


def creation(
    testbed: str, testbed_id: str, node: Node, image: str, spec: str, *, brought: int = 0, quota: bool = False
) -> Json:
    """The arguments of docker-py's `containers.create` for a node: the least privilege that works.

    So many bytes are `brought` into it, beside what it may write.  With `quota`, the engine's storage driver sees to
    that.
    """
    disk = str(node.disk + brought)
    secret = {secret_environment.LABEL: "yes"} if node.secrets else {}
    return {
        "image": image,
        "entrypoint": list(node.entrypoint) or None,
        "command": list(node.command) or None,
        "name": host_name(testbed, node.name),
        "hostname": node.name[:HOST_NAME_MAX],
        "labels": {
            **owner_labels(testbed, testbed_id),
            NODE: node.name,
            KIND: node.kind,
            SPEC: spec,
            DISK: disk,
            **secret,
        },
        "environment": {**trust.ENVIRONMENT, **node.environment},
        "extra_hosts": dict(node.hosts),
        "network_mode": "none",
        "dns": [NO_DNS if node.search is None else str(METADATA_SERVER)],
        "dns_search": list(node.search or NO_SEARCH),
        "cap_drop": ["ALL"],
        "cap_add": list(node.capabilities),
        "security_opt": [f"seccomp={seccomp.profile()}", *([] if node.root else ["no-new-privileges:true"])],
        "devices": [f"{device}:{device}:rwm" for device in node.devices],
        "sysctls": SYSCTLS,
        "pids_limit": PROCESSES,
        "log_config": LOG,
        "init": True,
        "mem_limit": node.memory,
        "memswap_limit": node.memory,
        "cpu_shares": max(2, int(node.cores * SHARES)),
        # No file can be larger, even if it has no name any more: a look at the files would not find that one.
        "ulimits": [Ulimit(name="fsize", soft=node.disk, hard=node.disk)],
        **({"storage_opt": {"size": disk}} if quota else {}),
    }
