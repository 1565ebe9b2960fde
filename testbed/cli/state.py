"""Commands that read the state of a testbed themselves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from testbed.cli.context import chosen, require_root
from testbed.control.state.folders import exists
from testbed.control.state.store import Store
from testbed.errors import NotFound
from testbed.model.topology import Topology
from testbed.nodes.docker import DockerNodes
from testbed.nodes.engine import connect


@contextmanager
def opened(name: str | None) -> Iterator[tuple[Store, Topology]]:
    """The state and the topology of a running testbed, to be read.

    Raises:
        NotFound: if it does not run, or if files are missed because it was taken down meanwhile.
    """
    require_root()
    with Store.open(chosen(name)) as store:
        topology = store.topology
        if topology is None:
            raise NotFound(
                f"testbed {store.name!r}: it was not finished", hint=f"remove it: testbed down --name {store.name}"
            )
        try:
            yield store, topology
        except OSError:
            if exists(store.name):
                raise
            raise NotFound(f"testbed {store.name!r}: it was taken down meanwhile") from None


def nodes_of(store: Store) -> DockerNodes:
    """The nodes of a testbed."""
    return DockerNodes(store.name, store.id, connect())
