"""Takes a testbed down: everything that is its own, and nothing else."""

from __future__ import annotations

from testbed.control.state.progress import Progress, Report
from testbed.control.state.store import Store
from testbed.fabric.naming import host_name
from testbed.kernel import namespace
from testbed.nodes.docker import DockerNodes


def tear_down(store: Store, nodes: DockerNodes, report: Report) -> list[str]:
    """Remove the testbed; returns what was removed, by its name on the host.  Its folder is still there: `clear`.

    Raises:
        FailedPrecondition: if a foreign process lives in one of its namespaces; the containers have been removed then.
    """
    removed = _remove_containers(store, nodes, report)
    spaces = sorted(store.journal.recorded("namespace"))
    report(Progress("namespaces", f"removing {len(spaces)}", 0, len(spaces)))
    there = set(namespace.names())
    namespace.delete(*spaces)
    # Docker goes on with what an `up` has asked for, killed or not: what has come into being meanwhile goes, too.
    late = _remove_containers(store, nodes, report)
    store.journal.strike("container", *store.journal.recorded("container"))
    store.journal.strike("namespace", *spaces)
    return [*removed, *late, *(name for name in spaces if name in there)]


def _remove_containers(store: Store, nodes: DockerNodes, report: Report) -> list[str]:
    present = sorted(nodes.running(builds=True))
    report(Progress("containers", f"removing {len(present)}", 0, len(present)))
    nodes.stop_all(present)
    return [host_name(store.name, name) for name in present]
