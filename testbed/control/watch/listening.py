"""Whether containers listen: Cloud Run waits for that before a revision serves (its default startup probe).

So do functions, App Engine and `testbed up`, as far as the testbed goes (our choice).  It is read from the kernel, in
the network of the container's process: no probe is sent, and an image needs no program for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from testbed.control.lifecycle import Settles, lifecycle
from testbed.control.state.operations import Operation, ResourceChange
from testbed.control.watch.health import ended
from testbed.errors import CODES, GoogleText
from testbed.fabric.allocation.running import Running
from testbed.json_object import Json
from testbed.model.core.resource import last
from testbed.model.serverless.workload import Workload
from testbed.model.topology import Topology

KIND = "run.services"
PATIENCE = 240.0
"""Seconds that a container may take (Cloud Run's default)."""
_BEFORE = {
    "cloud-function": "Could not create or update Cloud Run service {}, Container Healthcheck failed. ",
}
"""What comes before it where that is deployed otherwise (recalled)."""
_LISTEN = "0A"
"""The state of a listening socket in /proc/net/tcp."""


def deployed(topology: Topology, operation: Operation) -> list[Workload]:
    """What an operation deploys."""
    names = {change.name for change in operation.changes if _is_deployed(change)}
    return [one for one in topology.served if {one.name, one.name.rpartition("/versions/")[0]} & names]


def silent(workloads: Iterable[Workload], running: Running, pids: Mapping[str, int]) -> dict[str, Workload]:
    """The nodes that do not listen, with their workloads.

    A node without a process that is known is none of them: in tests there are no containers.
    """
    return {
        node: workload
        for workload in workloads
        for node in running.allocations.nodes(workload.name)
        if node in pids and not listens(pids[node], workload.port)
    }


def _is_deployed(change: ResourceChange) -> bool:
    """Whether a change deploys containers; one of an App Engine service does, as another version gets its traffic."""
    return change.body is not None and lifecycle(change.kind).settles is Settles.LISTENING


def crashed(silent: Mapping[str, Workload], pids: Mapping[str, int]) -> dict[str, Workload]:
    """Those of the silent nodes whose containers have ended: there is nothing to wait for."""
    gone = ended({node: pids[node] for node in silent})
    return {node: silent[node] for node in sorted(gone)}


def listens(pid: int, port: int) -> bool:
    """Whether something in the network of a process listens on a TCP port."""
    return any(
        fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == port
        for table in ("tcp", "tcp6")
        for fields in _sockets(Path(f"/proc/{pid}/net/{table}"))
    )


def failure(workload: Workload) -> Json:
    """What Google says of a container that does not listen (its text, recalled), as a `google.rpc.Status`."""
    revision = workload.environment.get("K_REVISION", last(workload.name))
    text = (
        f"{_BEFORE.get(workload.kind, '').format(workload.id)}Revision '{revision}' is not ready and cannot serve"
        " traffic. The user-provided container failed to start and listen on the port defined provided by the"
        f" PORT={workload.port} environment variable within the allocated timeout. This can happen when the container"
        " port is misconfigured or if the timeout is too short. The health check timeout can be extended. Logs for this"
        " revision might contain more information."
    )
    return {"code": CODES["FAILED_PRECONDITION"], "message": GoogleText(text)}


def _sockets(table: Path) -> list[list[str]]:
    try:
        return [line.split() for line in table.read_text().splitlines()[1:]]
    except OSError:  # the process has ended
        return []
