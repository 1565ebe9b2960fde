"""Carries out what was accepted: brings resources into effect, and says when that is done.

Operations take effect in the order in which they are due, several at once where several are.  If that cannot be done,
they are tried one by one, so that only the one at fault fails.  What takes its time after that (the configuration of
nodes, the health of connectors) is waited for without holding up the others.

What was under way when a controller was killed is begun once more by the next one: until its end, an operation stands
in the store with all that is needed for that, and with what to go back to.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from testbed.control import connectors
from testbed.control.accept.plane import topology_of
from testbed.control.connectors import Outcome
from testbed.control.lifecycle import CONNECTOR, Settles, duration, lifecycle
from testbed.control.realise import executions
from testbed.control.realise.builds import Builds
from testbed.control.realise.guest_scripts import Shutdowns
from testbed.control.realise.ticket import Realiser, Ticket
from testbed.control.state.clock import Clock
from testbed.control.state.operations import OVERTAKEN, Operation
from testbed.control.state.store import Store
from testbed.control.watch import listening
from testbed.errors import CODES, Internal, TestbedError
from testbed.fabric.serverless.reporting import can_report
from testbed.foreign_errors import translated
from testbed.json_object import Json
from testbed.model.topology import Topology

log = logging.getLogger("testbed.executor")


@dataclass(slots=True)
class _Settling:
    """An operation that has taken effect, except for the conditions that are still waited for."""

    operation: Operation
    ticket: Ticket
    """What of it is not made yet."""
    since: float
    """When all was made, or it made progress last, as `time.monotonic` counts."""
    reckoned: float
    """The same by the testbed's clock."""
    error: Json | None = None
    """What it will end with, as soon as all is as it was before."""

    def restart(self, clock: Clock) -> None:
        """Begin to wait anew: it has made progress."""
        self.since, self.reckoned = time.monotonic(), clock.now()


class Executor:
    """Carries out the operations of one testbed; `ended` is told the id of each that is over."""

    def __init__(self, ended: Callable[[str], None] = lambda _: None) -> None:
        self._ended = ended
        self._settling: dict[str, _Settling] = {}
        self._executions = executions.Executions()
        self._builds = Builds()
        self._shutdowns = Shutdowns()

    def round(self, store: Store, reconciler: Realiser) -> None:
        """Begin what is due, and end what has settled."""
        now = store.clock.now()
        found = {one.id: one for one in store.operations.open()}
        self._settling = {name: one for name, one in self._settling.items() if name in found}
        self._builds.forget(found)
        due = [one for one in found.values() if one.id not in self._settling and one.due <= now]
        sound: list[Operation] = []
        for one in sorted(due, key=lambda one: (one.due, one.number)):
            if fails := one.facts.get("fails"):
                self._end(store, one, {"code": fails["code"], "message": fails["message"]})
            elif not self._builds.over(reconciler.packages, one):
                continue
            elif error := self._builds.failure(one):
                self._end(store, one, error)
            elif self._shutdowns.over(store, reconciler.nodes, one):
                sound.append(one)
        if sound:
            self._carry_out(store, reconciler, sound)
        self._look_at_tickets(store, reconciler)
        for settling in list(self._settling.values()):
            self._look(store, reconciler, settling)

    def replace(self, store: Store, topology: Topology) -> None:
        """Put a topology in the place of the present one, and end the operations that it contradicts."""
        with store.transaction():
            overtaken = store.replace_topology(topology)
            for operation in overtaken:
                _write_end(store, operation, OVERTAKEN)
        for operation in overtaken:
            self._tell(operation)

    # -- taking effect --------------------------------------------------------------------------------------------

    def _carry_out(self, store: Store, reconciler: Realiser, due: Sequence[Operation]) -> None:
        try:
            with store.transaction():
                for one in due:
                    _put_into_effect(store, one)
                topology = topology_of(store)  # or nothing of it is written
            ticket = reconciler.advance(topology, _restarted(store, due))
        except Exception as error:
            if len(due) == 1:
                if isinstance(error, Internal) or not isinstance(error, TestbedError):
                    log.exception("%s", due[0].method)
                self._fail(store, reconciler, due[0], _crash(store, due[0]) or _status(due[0], error))
                return
            with store.transaction():
                for one in reversed(due):
                    _take_back(store, one)
            for one in due:
                self._carry_out(store, reconciler, [one])
            return
        running = store.running
        nodes = {one.id: {name for c in one.changes for name in running.allocations.nodes(c.name)} for one in due}
        for one in due:
            others = {name for other, names in nodes.items() if other != one.id for name in names - nodes[one.id]}
            mine = Ticket() if _is_in_the_kernel(one) else reconciler.without(ticket, others)
            self._settling[one.id] = _Settling(one, mine, time.monotonic(), store.clock.now())

    # -- settling -------------------------------------------------------------------------------------------------

    def _look_at_tickets(self, store: Store, reconciler: Realiser) -> None:
        """Fail the operations whose nodes cannot be made; the others go on."""
        for settling in list(self._settling.values()):
            error = settling.ticket.error
            if error is not None and settling.error is None:
                operation = settling.operation
                self._fail(store, reconciler, operation, _crash(store, operation) or _status(operation, error))

    def _look(self, store: Store, reconciler: Realiser, settling: _Settling) -> None:
        """End an operation whose effect is there, or will never be."""
        operation = settling.operation
        if not settling.ticket.over:
            settling.restart(store.clock)
        elif settling.error is not None:
            self._end(store, operation, settling.error)
        elif name := executions.executed(operation):
            self._look_at_tasks(store, reconciler, operation, name)
        elif (settles := lifecycle(operation.kind).settles) is Settles.LISTENING:
            self._look_at_containers(store, reconciler, settling)
        elif settles is Settles.HEALTHY:
            self._look_at_connectors(store, reconciler, settling)
        else:
            self._end(store, operation)

    def _look_at_connectors(self, store: Store, reconciler: Realiser, settling: _Settling) -> None:
        """End an operation when the instances of its connectors are healthy."""
        operation = settling.operation
        states, now = store.connectors.states(), store.clock.now()
        as_at_google = settling.reckoned + store.operation_delay * _longer_to_fail(operation)
        patient = time.monotonic() < settling.since + connectors.PATIENCE or now < as_at_google
        for change in operation.changes:
            if change.kind != CONNECTOR or change.body is None:
                continue
            mine = [instance for instance in store.connectors.instances() if instance.connector == change.name]
            state = states.get(change.name, "CREATING")
            reports = state != "CREATING" or _reports(topology_of(store), change.name)
            match connectors.outcome(state, mine, patient=patient, reports=reports):
                case Outcome.WAITING:
                    return
                case Outcome.FAILED:
                    self._fail(store, reconciler, operation, dict(connectors.UNHEALTHY))
                    return
                case Outcome.READY if connectors.outdated(change.body, mine):
                    settling.restart(store.clock)  # one after the other is replaced
                    return
                case Outcome.READY:
                    store.connectors.set_ready(change.name)
        self._end(store, operation)

    def _look_at_containers(self, store: Store, reconciler: Realiser, settling: _Settling) -> None:
        """End a deployment when its containers listen."""
        operation, running, pids = settling.operation, store.running, store.nodes.processes()
        silent = listening.silent(listening.deployed(topology_of(store), operation), running, pids)
        late = time.monotonic() - settling.since > listening.PATIENCE
        if failed := silent if late else listening.crashed(silent, pids):
            self._fail(store, reconciler, operation, listening.failure(failed[min(failed)]))
        elif not silent:
            self._end(store, operation)

    def _look_at_tasks(self, store: Store, reconciler: Realiser, operation: Operation, name: str) -> None:
        """End an execution whose tasks are over, and remove their nodes."""
        record = store.resources.get(executions.KIND, name)
        if record is None:  # a topology file has taken its place
            self._end(store, operation, {"code": CODES["ABORTED"], "message": "execution: it was cancelled"})
            return
        tasks = self._executions.tasks(store, reconciler.nodes, record)
        if tasks is None:
            return
        with store.transaction():
            now = store.resources.get(executions.KIND, name) or record
            store.resources.put(replace(now, facts={**now.facts, "tasks": tasks}))
        self._end(store, operation, executions.failure(record, tasks))
        store.resources.put(replace(store.resources.get(executions.KIND, name) or record, effective=None))
        try:
            reconciler.advance(topology_of(store))
        except TestbedError as error:
            log.warning("after %s: %s", operation.id, error.message)

    # -- ends -----------------------------------------------------------------------------------------------------

    def _fail(self, store: Store, reconciler: Realiser, operation: Operation, error: Json) -> None:
        """Make everything as it was before; the operation ends when it is."""
        back = Ticket()
        try:
            with store.transaction():
                _take_back(store, operation)
                topology = topology_of(store)
            store.connectors.forget(c.name for c in operation.changes if c.kind == CONNECTOR and c.creates)
            back = reconciler.advance(topology)
        except Exception:  # a boundary: the operation has to end, whatever its end meets
            log.exception("after the failure of %s", operation.id)
        if back.over:
            self._end(store, operation, error)
        else:
            self._settling[operation.id] = _Settling(operation, back, time.monotonic(), store.clock.now(), error)

    def _end(self, store: Store, operation: Operation, error: Json | None = None) -> None:
        """Write down that an operation is over, and tell those who wait for it."""
        with store.transaction():
            _write_end(store, operation, error)
        self._tell(operation)

    def _tell(self, operation: Operation) -> None:
        self._settling.pop(operation.id, None)
        self._ended(operation.id)


def _write_end(store: Store, operation: Operation, error: Json | None) -> None:
    """Write down that an operation is over, and what it leaves; inside of a transaction."""
    for change in operation.changes:
        record = store.resources.get(change.kind, change.name)
        if record is None or record.pending != operation.id:
            continue
        kept = replace(record, pending="", deleting=False)
        if error is None and change.body is None:
            store.resources.remove(change.kind, change.name)
        elif error is None:
            store.resources.put(replace(kept, error=None))
        elif change.body is None or (change.creates and record.effective is not None):
            store.resources.put(kept)  # the latter where others could not do without it
        elif change.creates and lifecycle(change.kind).left_in_error:
            store.resources.put(replace(kept, error=error))
        elif change.creates:
            store.resources.remove(change.kind, change.name)
        else:
            back = change.previous if record.effective is None else record.effective
            store.resources.put(replace(kept, body=record.body if back is None else back))
    store.operations.end(operation, error)
    text = f"failed: {error['message']}" if error else "is done"
    about = {"operation": operation.id, "method": operation.method, "error": error}
    store.events.add("operation", operation.target, f"{operation.method} {text}", **about)


def _longer_to_fail(operation: Operation) -> float:
    """Seconds that Google takes for the failure of a creation, beyond those for its success."""
    return (lifecycle(operation.kind).failure or 0.0) - duration(operation.method)


def _is_in_the_kernel(operation: Operation) -> bool:
    return all(lifecycle(change.kind).settles is Settles.KERNEL for change in operation.changes)


def _put_into_effect(store: Store, operation: Operation) -> None:
    """Bring the changes of an operation into the topology in effect; a second time changes nothing."""
    for change in operation.changes:
        if record := store.resources.get(change.kind, change.name):
            store.resources.put(replace(record, effective=change.body))


def _take_back(store: Store, operation: Operation) -> None:
    for change in operation.changes:
        if record := store.resources.get(change.kind, change.name):
            store.resources.put(replace(record, effective=change.previous))


def _crash(store: Store, operation: Operation) -> Json | None:
    """Why a deployment of Cloud Run failed, if a container ended before it was wired."""
    if operation.kind != listening.KIND:
        return None
    pids = store.nodes.processes()
    silent = listening.silent(listening.deployed(topology_of(store), operation), store.running, pids)
    crashed = listening.crashed(silent, pids)
    return listening.failure(crashed[min(crashed)]) if crashed else None


def _reports(topology: Topology, connector: str) -> bool:
    return all(can_report(topology, one) for one in topology.vpcaccess.connectors if one.name == connector)


def _restarted(store: Store, due: Iterable[Operation]) -> set[str]:
    """The nodes of the instances that operations restart."""
    running = store.running
    return {node for one in due for full in one.facts.get("restarts", ()) for node in running.allocations.nodes(full)}


def _status(operation: Operation, error: BaseException) -> Json:
    """An error as a `google.rpc.Status`."""
    known = translated(error)
    message = connectors.refusal(known) if operation.kind == CONNECTOR else known.message
    return {"code": CODES[known.status], "message": message}
