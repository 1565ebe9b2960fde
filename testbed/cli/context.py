"""Which testbed a command is about, and what it needs to act on it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated

import typer

from testbed.cli import complete
from testbed.control.state.store import Store, exists, names
from testbed.errors import InvalidArgument, NotFound, PermissionDenied
from testbed.fabric.allocation.short_names import short_name
from testbed.model.topology import Topology
from testbed.nodes.docker import DockerNodes
from testbed.nodes.engine import connect

Name = Annotated[
    str | None,
    typer.Option(
        "--name",
        "-n",
        envvar="TESTBED_NAME",
        autocompletion=complete.testbeds,
        help="The testbed; not needed while only one runs.",
    ),
]


def require_root() -> None:
    """Refuse early, before anything is touched.

    Raises:
        PermissionDenied: if this is not root.
    """
    if os.geteuid() != 0:
        raise PermissionDenied(
            "the testbed makes network namespaces and firewall rules, which only root may", hint="run it with sudo"
        )


def chosen(name: str | None) -> str:
    """The testbed that was named, or the only one.

    Raises:
        NotFound: if none runs.
        InvalidArgument: if several run and none was named.
    """
    if name is not None:
        return name
    running = names()
    if not running:
        raise NotFound("no testbed is running", hint="testbed up FILE starts one")
    if len(running) > 1:
        raise InvalidArgument(f"several testbeds are running: {', '.join(running)}", hint="choose one with --name")
    return running[0]


@contextmanager
def opened(name: str | None) -> Iterator[tuple[Store, Topology]]:
    """The state and the topology of a running testbed.

    Raises:
        NotFound: if it does not run, or if files are missed because it was taken down meanwhile.
    """
    require_root()
    with Store.open(chosen(name)) as store:
        topology = store.topology
        if topology is None:
            raise NotFound(
                f"testbed {store.name!r} was not finished", hint=f"testbed down --name {store.name} removes it"
            )
        try:
            yield store, topology
        except OSError:
            if exists(store.name):
                raise
            raise NotFound(f"testbed {store.name!r} was taken down meanwhile") from None


def node_named(store: Store, name: str) -> str:
    """The node that a user means: the one that is called so, else the only one whose resource is.

    Raises:
        InvalidArgument: if there are several.
    """
    return only(name, {node: short_name(node) for node in store.processes()}, "nodes") or name


def only(wanted: str, known: Mapping[str, str], what: str) -> str | None:
    """The one of these names that is wanted; `known` says of each which short name it goes by as well.

    Raises:
        InvalidArgument: if several have that short name, and none is called so.
    """
    if wanted in known:
        return wanted
    found = sorted(name for name, short in known.items() if short == wanted)
    if len(found) > 1:
        raise InvalidArgument(f"several {what} go by the name {wanted!r}: {', '.join(found)}", hint="choose one")
    return found[0] if found else None


def nodes_of(store: Store) -> DockerNodes:
    """The nodes of a testbed."""
    return DockerNodes(store.name, store.id, connect())
