"""Takes a testbed down: everything that is its own, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import docker

from testbed.control.state.folders import folder_of
from testbed.control.state.journal import Journal
from testbed.control.state.progress import Progress, Report
from testbed.control.state.reading import reading
from testbed.fabric.naming import host_name
from testbed.kernel import namespace
from testbed.nodes import owners
from testbed.nodes.docker import DockerNodes


@dataclass(frozen=True)
class Belongings:
    """What may be on this host of a testbed."""

    ids: frozenset[str]
    """The ids that its containers carry: one, unless its state was lost more than once."""
    namespaces: frozenset[str]

    def __or__(self, other: Belongings) -> Belongings:
        """Both together."""
        return Belongings(self.ids | other.ids, self.namespaces | other.namespaces)


def recorded(name: str) -> Belongings:
    """What the state of a testbed says, of any layout.

    Raises:
        NotFound: it has no state.
        Unavailable: the state cannot be read, or is damaged.
    """
    with reading(name) as connection:
        facts = dict(connection.execute("SELECT key, value FROM facts"))
        return Belongings(frozenset({facts["id"]}), frozenset(Journal(connection).recorded("namespace")))


def proven(name: str, client: docker.DockerClient) -> Belongings:
    """What says of itself that it belongs to the testbed with this name and this state folder."""
    folder = folder_of(name).absolute()
    spaces = namespace.owned(str(folder), host_name(name, ""))
    return Belongings(owners.ids(client, name, folder), frozenset(spaces))


def tear_down(name: str, belongings: Belongings, client: docker.DockerClient, report: Report) -> list[str]:
    """Remove what belongs to a testbed; returns its names on the host.  The state is only read, and stays: `clear`.

    Raises:
        FailedPrecondition: if a foreign process lives in one of its namespaces; the containers have been removed then.
    """
    owned = [DockerNodes(name, one, client) for one in sorted(belongings.ids)]
    removed = _remove_containers(name, owned, report)
    spaces = sorted(belongings.namespaces)
    report(Progress("namespaces", f"removing {len(spaces)}", 0, len(spaces)))
    there = set(namespace.names())
    namespace.delete(*spaces)
    # Docker goes on with what an `up` has asked for, killed or not: what has come into being meanwhile goes, too.
    late = _remove_containers(name, owned, report)
    return [*removed, *late, *(space for space in spaces if space in there)]


def _remove_containers(name: str, owned: Sequence[DockerNodes], report: Report) -> list[str]:
    present = [(nodes, sorted(nodes.running(builds=True))) for nodes in owned]
    number = sum(len(found) for _, found in present)
    report(Progress("containers", f"removing {number}", 0, number))
    for nodes, found in present:
        nodes.stop_all(found)
    return [host_name(name, node) for _, found in present for node in found]
