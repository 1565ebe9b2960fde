"""Configures the nodes of a running testbed with Ansible: playbooks/nodes.yml and its roles.

The inventory stays in the testbed's folder, so that anyone can change a role and run it again by hand:

    cd playbooks
    ansible-playbook -i /var/lib/testbed/NAME/ansible/inventory.yml nodes.yml --limit NODE
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path

import yaml

from testbed.errors import Internal
from testbed.fabric.plan import Node
from testbed.json_object import Json
from testbed.nodes.playbook import RUN, Event, run_playbook
from testbed.paths import PLAYBOOKS

ROLES = ("vpn", "redis", "web", "frontend")


class Verbatim(str):
    """A text that Ansible must not take for a template, whatever is in it: Ansible would run what a template says."""

    __slots__ = ()


class _Dumper(yaml.SafeDumper):
    """Writes YAML with Ansible's tag `!unsafe`."""


_Dumper.add_representer(Verbatim, lambda dumper, text: dumper.represent_scalar("!unsafe", str(text), style='"'))


def configure(
    folder: Path,
    nodes: Collection[Node],
    container: Callable[[str], str],
    report: Callable[[Event], None],
    *,
    only: Collection[str] | None = None,
    unfinished: Collection[str] = (),
    cancelled: threading.Event | None = None,
) -> None:
    """Run the role of every node that has one (of these names `only`); their containers must be running.

    `folder` is the testbed's state folder; `container` gives the name of a node's container; `report` is called for
    each step of each node; `cancelled` stops the run from another thread.  The inventory is always about all nodes.
    A node is `unfinished` if an earlier run did not come to its end: its services may not have read their files yet.

    Raises:
        Aborted: `cancelled` was set.
        Unavailable: a node could not be configured; says which, in what task and why.
    """
    path = folder / "ansible" / "inventory.yml"
    path.parent.mkdir(mode=0o700, exist_ok=True)
    for left in path.parent.glob(f"{RUN}*"):  # by a run that was killed
        shutil.rmtree(left)
    _write(path, yaml.dump(inventory(nodes, container, unfinished), Dumper=_Dumper, sort_keys=False))
    chosen = sorted(node.name for node in nodes if node.role is not None and (only is None or node.name in only))
    if chosen:
        limit = None if only is None else chosen
        run_playbook(PLAYBOOKS / "nodes.yml", report, inventory=path, limit=limit, cancelled=cancelled)


def _write(path: Path, text: str) -> None:
    """Replace a file as a whole; nobody else can read it at any moment."""
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    new.replace(path)


def inventory(nodes: Iterable[Node], container: Callable[[str], str], unfinished: Collection[str] = ()) -> Json:
    """Ansible's inventory: for each role a group of the nodes that have it.

    A group is called `role_ROLE`, because a group must not be called like a host and a node may well be called `redis`.
    The variables of a node are one variable called like its role: `port`, `name` and others are words of Ansible's own.

    Raises:
        Internal: a node has a role that does not exist, or a variable that YAML cannot say.
    """
    groups: dict[str, Json] = {role: {} for role in ROLES}
    for node in sorted(nodes, key=lambda node: node.name):
        if node.role is None:
            continue
        if node.role not in groups:
            raise Internal(f"node {node.name}: its role {node.role} is not known; roles: {', '.join(ROLES)}")
        host = {"ansible_host": container(node.name), node.role: _plain(node.variables)}
        groups[node.role][node.name] = host | ({"unfinished": True} if node.name in unfinished else {})
    return {
        "all": {
            "vars": {
                "ansible_connection": "docker_exec",  # playbooks/connection_plugins
                "ansible_python_interpreter": "/usr/bin/python3",
                "ansible_remote_tmp": "/tmp/.ansible",  # noqa: S108  # a node's user may write nowhere else
            },
            "children": {f"role_{role}": {"hosts": hosts} for role, hosts in groups.items()},
        }
    }


def _plain(value: object) -> object:
    """A role's variable in YAML's types."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, str):
        return Verbatim(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    raise Internal(f"role: one of its variables is a {type(value).__name__}")
