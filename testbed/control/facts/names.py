"""What users call nodes and services."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from testbed.control.state.store import Store
from testbed.errors import InvalidArgument, NotFound
from testbed.fabric.allocation.keys import ContainerInstance, NameKey
from testbed.fabric.allocation.short_names import short_name
from testbed.model.serverless.workload import Workload
from testbed.model.topology import Topology


def by_name(store: Store, workloads: Iterable[Workload]) -> dict[str, Workload]:
    """Workloads by the names of their (first) nodes, which commands know them by; but those that are being made."""
    given = store.running.allocations
    return {given.names[NameKey.runtime(ContainerInstance(w.name, 0))]: w for w in workloads if given.nodes(w.name)}


def node_named(store: Store, name: str) -> str:
    """The node that a user means: the one that is called so, else the only one whose resource is.

    Raises:
        InvalidArgument: if there are several.
    """
    return only(name, {node: short_name(node) for node in store.nodes.processes()}, "nodes") or name


def only(wanted: str, known: Mapping[str, str], what: str) -> str | None:
    """The one of these names that is wanted; `known` says of each which short name it goes by as well.

    Raises:
        InvalidArgument: if several have that short name, and none is called so.
    """
    if wanted in known:
        return wanted
    found = sorted(name for name, short in known.items() if short == wanted)
    if len(found) > 1:
        raise InvalidArgument(
            f"{what} {wanted!r}: several have this name: {', '.join(found)}", hint="choose one of them"
        )
    return found[0] if found else None


def service_named(store: Store, topology: Topology, name: str) -> Workload:
    """The service that a user means.

    Raises:
        NotFound: there is none of that name.
        InvalidArgument: there are several.
    """
    known = by_name(store, topology.served)
    found = only(name, {called: workload.id for called, workload in known.items()}, "services")
    if found is None:
        raise NotFound(f"service {name!r}: not found (services: {', '.join(known) or 'none'})")
    return known[found]
