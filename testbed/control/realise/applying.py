"""Puts a whole topology in the place of the present one: what `testbed up` asks for.

It is checked before anything is changed.  Then it is in effect, and the reconciler makes it true; what takes its time
(the configuration of nodes, the health of connectors) is waited for without holding up anything else.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Event

from testbed.control import connectors
from testbed.control.accept import deletions, forbidden_changes
from testbed.control.connectors import Outcome
from testbed.control.lifecycle import CONNECTOR
from testbed.control.realise.reconciler import Reconciler
from testbed.control.realise.ticket import Ticket
from testbed.control.state.progress import Progress, Report, silent
from testbed.control.state.store import Store
from testbed.control.watch import listening
from testbed.errors import Aborted, TestbedError
from testbed.fabric.allocation.running import ConnectorInstance
from testbed.fabric.serverless.reporting import can_report
from testbed.kernel import capabilities
from testbed.model.topology import Topology

Replace = Callable[[Store, Topology], None]
"""Puts a topology in the place of the present one."""


@dataclass(slots=True)
class Apply:
    """A request for a topology."""

    topology: Callable[[Topology | None], Topology]
    """What is wanted, where this is there."""
    source: str
    """The file that it is from; empty for the topology that is there."""
    confirmed: bool
    """Whether it may delete what an API has made."""
    operation_delay: float | None = None
    strict_projects: bool | None = None
    """Whether calls about projects that were never made are refused; None: as before."""
    report: Report = silent
    cancelled: Event = field(default_factory=Event)
    result: Future[Ticket] = field(default_factory=Future)


@dataclass(slots=True)
class _Settling:
    """A topology that is in effect, except for the conditions that are still waited for."""

    request: Apply
    topology: Topology
    ticket: Ticket
    since: float
    """As `time.monotonic` counts."""
    ready: int = -1
    """How many instances of connectors were, when that was told last."""
    listening: int = -1
    """How many containers of workloads were, when that was told last."""


class Applier:
    """Carries out requests for a topology, one after the other."""

    def __init__(self, replace: Replace) -> None:
        self._replace = replace
        self._waiting: deque[Apply] = deque()
        self._settling: _Settling | None = None

    @property
    def busy(self) -> bool:
        """Whether a topology is being made true."""
        return self._settling is not None

    def submit(self, request: Apply) -> None:
        """Carry a request out when its turn comes; for any thread."""
        self._waiting.append(request)

    def close(self, error: TestbedError) -> None:
        """Tell those who wait that nothing will come of it any more."""
        waiting = [*self._waiting, *([self._settling.request] if self._settling else [])]
        self._waiting.clear()
        self._settling = None
        for request in waiting:
            request.result.set_exception(error)

    def round(self, store: Store, reconciler: Reconciler) -> None:
        """Begin the next request, or see how far the present one is."""
        if self._settling is None and self._waiting:
            request = self._waiting.popleft()
            try:
                self._settling = _begin(request, store, reconciler, self._replace)
            except BaseException as error:  # the caller is told of every error
                _end(request, reconciler, error)
                if not isinstance(error, Exception):
                    raise
        if (settling := self._settling) is not None:
            try:
                over = _look(settling, store, reconciler)
            except Exception as error:  # noqa: BLE001 - who asked is told
                self._settling = None
                _end(settling.request, reconciler, error)
                return
            if over:
                self._settling = None
                reconciler.finish_request()
                settling.request.result.set_result(settling.ticket)
                if not settling.ticket.changed:
                    reconciler.look_again()  # `up` of what is there is what people try when something is broken


def _end(request: Apply, reconciler: Reconciler, error: BaseException) -> None:
    reconciler.finish_request()
    request.result.set_exception(error)


def _begin(request: Apply, store: Store, reconciler: Reconciler, replace: Replace) -> _Settling:
    """Bring a topology into effect.

    Raises:
        TestbedError: it cannot be; nothing was changed.  Or it cannot be made; what was made is written down and stays.
    """
    present = store.topology
    topology = request.topology(present)
    forbidden_changes.check(present, topology)
    if not request.confirmed:
        deletions.check(store.resources.missing_in(topology))
    reconciler.begin_request(request.report)
    reconciler.check(topology)
    if request.cancelled.is_set():
        raise stopped(store)
    store.complete = False
    if not store.begun:
        store.vlans = capabilities.vlans_work().present
    if request.operation_delay is not None:
        store.operation_delay = request.operation_delay
    if request.strict_projects is not None:
        store.strict_projects = request.strict_projects
    if request.source:
        store.source = request.source
    replace(store, topology)
    store.events.add("topology", topology.name, f"is to be as in {store.source}")
    return _Settling(request, topology, reconciler.advance(topology, whole=True), time.monotonic())


def _look(settling: _Settling, store: Store, reconciler: Reconciler) -> bool:
    """Whether all is over: nodes are configured, workloads listen, connectors are healthy, or they never will.

    Raises:
        TestbedError: a node cannot be configured.
        Aborted: the request was cancelled.
    """
    ticket = settling.ticket
    if ticket.error is not None:
        raise ticket.error
    if settling.request.cancelled.is_set():
        reconciler.cancel_configuration()
        if reconciler.configuring:
            return False
        raise stopped(store)
    if not ticket.over:
        settling.since = time.monotonic()
        return False
    instances = store.connectors.instances()
    _tell(settling, sum(instance.health == "healthy" for instance in instances), len(instances))
    if not _all_listen(settling, store) or not _conclude(settling, store, instances):
        return False
    unhealthy = ticket.failed.keys() & store.connectors.states().keys()
    if unhealthy and (healthy := store.topology) is not None:
        store.connectors.forget(unhealthy)
        reconciler.advance(healthy)
    store.complete = True
    store.events.add("topology", settling.topology.name, "is as asked for", failed=[*settling.ticket.failed])
    return True


def _tell(settling: _Settling, ready: int, total: int) -> None:
    if total and ready != settling.ready:
        settling.ready = ready
        settling.request.report(Progress("connectors", f"{ready} of {total} instances ready", ready, total))


def _all_listen(settling: _Settling, store: Store) -> bool:
    """Whether no workload is waited for any more; those that do not listen have failed."""
    pids, running, served = store.nodes.processes(), store.running, settling.topology.served
    silent = listening.silent(served, running, pids)
    total = sum(len(running.allocations.nodes(workload.name)) for workload in served)
    done = total - len(silent)
    if silent and settling.listening != done:
        settling.listening = done
        settling.request.report(Progress("services", f"{done} of {total} containers listen", done, total))
    late = time.monotonic() - settling.since > listening.PATIENCE
    failed = silent if late else listening.crashed(silent, pids)
    settling.ticket.failed |= {one.name: listening.failure(one)["message"] for one in failed.values()}
    return silent.keys() <= failed.keys()


def _conclude(settling: _Settling, store: Store, instances: Sequence[ConnectorInstance]) -> bool:
    """Write down what has become of the connectors, as soon as none is waited for any more."""
    states, patient = store.connectors.states(), time.monotonic() - settling.since < connectors.PATIENCE
    outcomes: dict[str, Outcome] = {}
    for connector in settling.topology.vpcaccess.connectors:
        mine = [instance for instance in instances if instance.connector == connector.name]
        reports = can_report(settling.topology, connector)
        outcomes[connector.name] = connectors.outcome(states[connector.name], mine, patient=patient, reports=reports)
    if Outcome.WAITING in outcomes.values():
        return False
    for name, outcome in outcomes.items():
        if outcome is Outcome.READY:
            store.connectors.set_ready(name)
        elif states[name] == "CREATING":  # one that worked before stays, and is healed
            store.resources.fail(CONNECTOR, name, connectors.UNHEALTHY)
            settling.ticket.failed[name] = connectors.HEALTH_FAILURE
    return True


def stopped(store: Store) -> Aborted:
    """What is said of a request that was cancelled."""
    made = [f"{len(found)} {kind}s" for kind in ("namespace", "container") if (found := store.journal.recorded(kind))]
    return Aborted(
        f"testbed {store.name!r}: interrupted, and may be half-made ({', '.join(made) or 'nothing'} so far)",
        hint=f"go on from here: testbed up; or remove it: testbed down --name {store.name}",
    )
