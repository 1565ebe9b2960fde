"""Makes a testbed what its topology says, from whatever it is now.  Running it again is always safe.

The order: write down, then make.  Namespaces come first; then each node is started, wired, given its files and
configured, whatever the others are doing.  What takes its time is done by jobs in threads.  A round takes note of those
that are over and does what can be done next, so a node that hangs costs the change that wanted it, and no other.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from testbed.control import connectors
from testbed.control.realise import capacity
from testbed.control.realise.allocate import allot
from testbed.control.realise.configuration import run_roles, unconfigured
from testbed.control.realise.kernel_state import KernelState, foreign, segments
from testbed.control.realise.node_files import deliver, digest
from testbed.control.realise.node_jobs import Job, NodeJobs, Stage
from testbed.control.realise.ticket import Ticket
from testbed.control.state.progress import Progress, Report, silent
from testbed.control.state.store import Store
from testbed.control.watch import firewall_log
from testbed.control.watch.disks import Limit
from testbed.control.watch.health import HealthChecker, ended
from testbed.errors import Aborted, TestbedError
from testbed.fabric.allocation.addressing import allocate
from testbed.fabric.allocation.keys import NameKey
from testbed.fabric.allocation.running import Health, Running
from testbed.fabric.compiler import compile_topology
from testbed.fabric.naming import host_name
from testbed.fabric.plan import Node, Plan
from testbed.kernel import namespace
from testbed.model.topology import Topology
from testbed.nodes.container import RunningNode
from testbed.nodes.docker import DockerNodes
from testbed.nodes.images import Images
from testbed.nodes.packages import installer
from testbed.nodes.playbook import TaskFailed

log = logging.getLogger("testbed.reconciler")

WORKERS = 8
"""Jobs on nodes at a time."""
RETRY = 15.0
"""Seconds until something that could not be done with a node is tried again."""
GATHERING = 4.0
"""Seconds that nodes which are ready for Ansible wait at most for others: a run for several takes hardly longer."""

WIRING = 0.5
"""Seconds between two wirings while nodes start: one for several nodes costs hardly more than one for one."""

Configuration = Future[list[str]]
"""A run of Ansible; the nodes that it has configured."""


@dataclass(frozen=True, slots=True)
class Known:
    """A node whose container runs."""

    running: RunningNode
    node: Node | None
    """What it is made from; None where that was not looked at yet."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Something that could not be done with a node; it is tried again after a while, or if the plan says otherwise."""

    node: Node
    error: Exception
    since: float
    """As `time.monotonic` counts."""


class Reconciler:
    """Brings one testbed into its desired state."""

    def __init__(
        self, store: Store, nodes: DockerNodes, images: Images, wake: Callable[[], None] = lambda: None
    ) -> None:
        self.store = store
        self.nodes = nodes
        self.images = images
        self.packages = nodes.installer(images)
        self.report: Report = silent
        self.health = HealthChecker()
        self._wake = wake
        self._plan: Plan | None = None
        """What there should be."""
        self._kernel = KernelState()
        self._known: dict[str, Known] | None = None
        """The nodes that run; None if Docker has to be asked."""
        self._jobs = NodeJobs(WORKERS, wake)
        self._failures: dict[str, Failure] = {}
        self._told: dict[str, str] = {}
        """The last failure of each node that events tell of."""
        self._tickets: list[Ticket] = []
        self._configurator = ThreadPoolExecutor(1, "configuration")
        self._configuration: Configuration | None = None
        self._configured: Mapping[str, Node] = {}
        """The nodes that the present run of Ansible is for, as they were planned when it began."""
        self._wired_at = 0.0
        self._ready_since: float | None = None
        """When a node has begun to wait for Ansible, as `time.monotonic` counts."""
        self._stop = threading.Event()

    # -- requests -------------------------------------------------------------------------------------------------

    def begin_request(self, report: Report) -> None:
        """Tell somebody of the work that follows."""
        self.report = report

    def finish_request(self) -> None:
        """Nobody is told any more."""
        self.report = silent

    def check(self, topology: Topology) -> None:
        """See that a topology can be made, before anything is changed; nothing is written.

        Raises:
            TestbedError: the kernel lacks something, or something is in the way.
        """
        firewall_log.require(topology)
        capacity.require(topology)
        plan = preview(topology, self.store.running)
        self._see_that_names_are_free(plan)
        self.nodes.check_names(node.name for node in plan.nodes)

    def advance(self, topology: Topology, again: Collection[str] = (), *, whole: bool = False) -> Ticket:
        """Begin to make what the resources in effect ask for; nodes named `again` are made anew.

        The ticket is for what this change has begun; with `whole`, for everything that is lacking.

        Where only the firewall and the routes of some namespaces differ, the ticket is over at once: that takes
        milliseconds.

        Raises:
            TestbedError: it cannot be made; what was made so far is written down and stays for the next try.
        """
        firewall_log.require(topology)
        capacity.require(topology)
        allot(self.store, topology)
        self._instances(topology)
        self.store.begin_revision()
        before = {} if whole else self._unfinished()
        self._plan = self.plan(topology)
        self._see_that_names_are_free(self._plan)
        self._make_namespaces(self._plan)
        self._forget_failures(self._plan, again)
        for name in again:
            self._give_up(name)
        ticket = Ticket(leaving=set(again))
        self._tickets.append(ticket)
        try:
            self._step(self._plan)
        except BaseException:
            self._tickets.remove(ticket)
            raise
        ticket.leaving = {*self._leaving(self._plan)} - {*before}
        # What others have begun, and may wait for in vain, is no business of this change.
        now = self._unfinished()
        ticket.lacking = {name for name, node in now.items() if node and (name in again or before.get(name) != node)}
        self._settle(self._plan, {name for name, node in now.items() if node})
        return ticket

    def without(self, ticket: Ticket, nodes: Collection[str]) -> Ticket:
        """A ticket for what another one waits for, without some nodes."""
        other = replace(ticket, lacking=ticket.lacking - {*nodes}, leaving=ticket.leaving - {*nodes})
        self._tickets.append(other)
        return other

    def round(self) -> None:
        """Take note of the jobs that are over, and do what can be done next.

        Raises:
            TestbedError: the kernel refuses something, and nobody waits for it.
        """
        if self._plan is None or not self._is_at_work():
            return
        now = time.monotonic()
        self._failures = {name: one for name, one in self._failures.items() if now - one.since < RETRY}
        try:
            self._step(self._plan)
        except TestbedError as error:
            self._kernel.forget()
            if not self._tickets:
                raise
            for ticket in self._tickets:
                ticket.error = error
        if self._tickets:
            self._settle(self._plan, self._lacking(self._plan))

    def _is_at_work(self) -> bool:
        """Whether there may be something to do or to take note of."""
        waiting = self._configuration is not None or self._ready_since is not None
        return bool(self._tickets or self._jobs.all() or self._failures or waiting) or not self._kernel.is_known

    def look_again(self) -> None:
        """Read the whole kernel in the next round: somebody may have meddled with it."""
        self._kernel.forget()

    @property
    def configuring(self) -> bool:
        """Whether Ansible is at work."""
        return self._configuration is not None and not self._configuration.done()

    def cancel_configuration(self) -> None:
        """Stop what Ansible does in the background; it is done by the next run."""
        self._stop.set()

    def close(self) -> None:
        """End what works in the background, for good."""
        self._stop.set()
        self.packages.close()
        self._jobs.close()
        self._configurator.shutdown()

    def plan(self, topology: Topology) -> Plan:
        """What the resources in effect ask for."""
        return compile_topology(topology, self.store.running)

    def at_work_on(self, node: str) -> bool:
        """Whether something is being done with a node."""
        return self._jobs.of(node) is not None

    def whole(self, names: Collection[str]) -> Mapping[str, RunningNode]:
        """Those of some nodes that run as planned: wired, given their files and configured."""
        if self._plan is None or self._known is None:
            return {}
        lacking = self._lacking(self._plan)
        return {name: self._known[name].running for name in names if name in self._known and name not in lacking}

    def disks(self) -> Mapping[str, Limit]:
        """The nodes that run, and what their files may take."""
        running = {name: known.running for name, known in (self._known or {}).items()}
        return {name: Limit(one.container, one.disk) for name, one in running.items() if one.disk and one.pid}

    # -- before anything is changed -------------------------------------------------------------------------------

    def _see_that_names_are_free(self, plan: Plan) -> None:
        taken = set(namespace.names()) & segments(plan) - self.store.journal.recorded("namespace")
        if taken:
            raise foreign(taken)

    # -- state before making --------------------------------------------------------------------------------------

    def _instances(self, topology: Topology) -> None:
        known = self.store.connectors
        known.forget(connectors.deleted(topology, known.states()))
        with self.store.transaction():
            known.add(connectors.additions(topology, known.instances(), known.next_serial))

    def _forget_failures(self, plan: Plan, again: Collection[str]) -> None:
        wanted = {node.name: node for node in plan.nodes}
        self._failures = {
            name: failure
            for name, failure in self._failures.items()
            if failure.node == wanted.get(name) and name not in again
        }

    # -- one step -------------------------------------------------------------------------------------------------

    def _step(self, plan: Plan) -> None:
        """Everything that can be done now without waiting."""
        self._note_jobs()
        known = self._running_nodes()
        self._work_on_nodes(plan, known)
        self._wire(plan, known)
        self._deliver(plan, known)
        self._configure(plan, known)
        self._remove_stale_namespaces(plan)

    def _running_nodes(self) -> dict[str, Known]:
        """The nodes that run, of which Docker is asked once."""
        if self._known is None:
            present = self.nodes.running()
            self._known = {name: Known(one, None) for name, one in present.items()}
        gone = ended({name: known.running.pid for name, known in self._known.items() if known.running.pid})
        for name in gone:
            self.store.events.add("node", name, "has ended")
            self._lose(name)
        return self._known

    def _lose(self, name: str) -> None:
        """A node has ended."""
        if self._known is not None:
            self._known.pop(name, None)
        self._kernel.lose(name)

    def _give_up(self, name: str) -> None:
        """A node is to be made anew."""
        self._lose(name)
        self.store.connectors.set_health({name: "starting"})

    def _note_jobs(self) -> None:
        """Take note of the jobs that are over."""
        for name, job in self._jobs.over():
            error = job.result.exception()
            if error is None:
                self._note(name, job, job.result.result())
            elif isinstance(error, Exception) and job.node is not None:
                self._fail(name, job.node, error)
            else:
                log.error("node %s: %s", name, error)

    def _fail(self, name: str, node: Node, error: Exception) -> None:
        """Something could not be done with a node.  The event is told once, however often it is tried again."""
        self._failures[name] = Failure(node, error, time.monotonic())
        if self._told.get(name) != (text := str(error)):
            self._told[name] = text
            self.store.events.add("node", name, f"failed: {text}")

    def _note(self, name: str, job: Job, running: RunningNode | None) -> None:
        known = self._running_nodes()
        if job.stage is Stage.STOP:
            self.store.journal.strike("container", host_name(self.store.name, name))
            self.store.events.add("node", name, "was removed")
            self._for_each_ticket(lambda ticket: ticket.stopped.append(name) if name in ticket.leaving else None)
        elif job.stage is Stage.DELIVER and job.node is not None and name in known:
            self.store.nodes.set_delivered(name, digest(job.node, known[name].running.pid))
        elif job.stage is Stage.CHECK and name in known:
            if running is None:  # it is made from something else
                self._give_up(name)
            else:
                known[name] = Known(running, _spec(job.node))
        elif job.stage is Stage.START and running is not None and job.node is not None:
            known[name] = Known(running, _spec(job.node))
            self.store.connectors.set_health({name: "starting"})
            if job.node.files:  # they were there before its program began
                self.store.nodes.set_delivered(name, digest(job.node, running.pid))
            self._told.pop(name, None)
            self.store.events.add("node", name, "has started")
            self._tell_started(name)
        self.store.nodes.set_processes({name: one.running.pid for name, one in known.items() if one.running.pid})

    def _tell_started(self, name: str) -> None:
        self._for_each_ticket(lambda ticket: ticket.started.append(name) if name in ticket.lacking else None)
        total = max((len(ticket.lacking | {*ticket.started}) for ticket in self._tickets), default=1)
        done = max((len(ticket.started) for ticket in self._tickets), default=1)
        self.report(Progress("nodes", name, done, total))

    def _for_each_ticket(self, tell: Callable[[Ticket], object]) -> None:
        for ticket in self._tickets:
            tell(ticket)

    # -- nodes ----------------------------------------------------------------------------------------------------

    def _work_on_nodes(self, plan: Plan, known: Mapping[str, Known]) -> None:
        """Begin to check, start and stop nodes; a node that is as planned is left alone."""
        wanted = {node.name: node for node in sorted(plan.nodes, key=_haste)}
        begun = {one.name for one in self.store.connectors.instances() if one.health != "starting"}
        lost = begun - known.keys()
        for name, node in wanted.items():
            present = known.get(name)
            if self._jobs.of(name) or name in self._failures or name in lost:
                continue  # an instance of a connector that has ended is not started again: another takes its place
            if present is None:
                self.store.journal.record("container", host_name(plan.testbed, name))
                self._jobs.begin(name, Stage.START, node, partial(self._start, node))
            elif present.node != _spec(node):  # which may be the same, as a source at another place
                self._jobs.begin(name, Stage.CHECK, node, partial(self._check, node, present.running))
        for name in [name for name in known if name not in wanted and not self._jobs.of(name)]:
            self._lose(name)
            self._jobs.begin(name, Stage.STOP, None, partial(self.nodes.stop, name))

    def _leaving(self, plan: Plan) -> list[str]:
        """The nodes that are being removed."""
        wanted = {node.name for node in plan.nodes}
        known = self._known or {}
        recorded = (name for name in known if name not in wanted)
        return [*recorded, *(name for name, job in self._jobs.all().items() if job.stage is Stage.STOP)]

    def _check(self, node: Node, running: RunningNode) -> RunningNode | None:
        """The container of a node, if it runs and is made from what the plan says."""
        image = self.images.ensure({node.image})[node.image]
        made = running.state == "running" and running.spec == self.nodes.spec_hash(node, image)
        return running if made else None

    def _start(self, node: Node) -> RunningNode:
        """A new container, in the place of one that is there.  Its image and its packages are looked for first."""
        image = self.images.ensure({node.image})[node.image]
        built = node.source is not None and node.image == installer.IMAGE
        packages = self.packages.ensure(Path(str(node.source))) if built else None
        self.nodes.stop(node.name)
        return self.nodes.start(node, image, packages)

    # -- the kernel -----------------------------------------------------------------------------------------------

    def _make_namespaces(self, plan: Plan) -> None:
        wanted = segments(plan)
        namespace.delete(*namespace.unfinished(*wanted))
        missing = sorted(wanted - set(namespace.names()))
        if missing:
            self.store.journal.record("namespace", *missing)
            namespace.create(*missing, owner=str(self.store.folder.absolute()))
            self._kernel.forget()
            self.report(Progress("namespaces", f"{len(missing)} made", len(wanted), len(wanted)))

    def _wire(self, plan: Plan, known: Mapping[str, Known]) -> None:
        """Make the kernel what the plan says of the nodes that run."""
        processes = {name: one.running.pid for name, one in known.items() if one.running.state == "running"}
        possible = plan.with_nodes(processes)
        starting = any(job.stage is Stage.START for job in self._jobs.all().values())
        if self._kernel.is_as(possible) or (starting and time.monotonic() < self._wired_at + WIRING):
            return
        changes = self._kernel.become(possible, processes)
        self._wired_at = time.monotonic()
        self._for_each_ticket(lambda ticket: ticket.changes.extend(changes))
        if changes:
            self.report(Progress("wiring", f"{len(changes)} changes", 1, 1))

    def _remove_stale_namespaces(self, plan: Plan) -> None:
        stale = self.store.journal.recorded("namespace") - segments(plan)
        if stale:
            namespace.delete(*sorted(stale))
            self.store.journal.strike("namespace", *stale)

    # -- what is inside of nodes ----------------------------------------------------------------------------------

    def _deliver(self, plan: Plan, known: Mapping[str, Known]) -> None:
        """Begin to bring files that have changed into nodes."""
        delivered = self.store.nodes.delivered()
        for node in plan.nodes:
            if node.files and self._is_ready(node, known) and self._undelivered(node, known, delivered):
                self._jobs.begin(node.name, Stage.DELIVER, node, partial(deliver, self.nodes, node))

    def _undelivered(self, node: Node, known: Mapping[str, Known], delivered: Mapping[str, str]) -> bool:
        return delivered.get(node.name) != digest(node, known[node.name].running.pid)

    def _is_ready(self, node: Node, known: Mapping[str, Known]) -> bool:
        """Whether a node runs as planned and nobody works on it."""
        present = known.get(node.name)
        idle = self._jobs.of(node.name) is None and node.name not in self._failures
        return idle and present is not None and present.node == _spec(node)

    def _configure(self, plan: Plan, known: Mapping[str, Known]) -> None:
        """Take note of what Ansible has done, and let it do more: for several nodes at once, if they come together."""
        if (run := self._configuration) is not None:
            if not run.done():
                return
            self._configuration = None
            self._note_configuration(run)
        ready = [node for node in plan.nodes if node.role and self._is_ready(node, known)]
        running = {node.name: known[node.name].running for node in ready}
        wanted = unconfigured(self.store, ready, running)
        if not wanted:
            self._ready_since = None
            return
        self._ready_since = self._ready_since or time.monotonic()
        others = any(job.stage is not Stage.DELIVER and job.node and job.node.role for job in self._jobs.all().values())
        if others and time.monotonic() - self._ready_since < GATHERING:
            return
        self._ready_since = None
        self._configured = {node.name: node for node in ready if node.name in wanted}
        self._stop = threading.Event()
        self._configuration = self._configurator.submit(self._run_roles, ready, running, wanted, self.report)
        self._configuration.add_done_callback(lambda _: self._wake())

    def _run_roles(
        self, nodes: Sequence[Node], running: Mapping[str, RunningNode], only: Sequence[str], report: Report
    ) -> list[str]:
        """A thread needs a store of its own."""
        with Store.open(self.store.name) as store:
            return run_roles(store, nodes, running, report, only=only, stop=self._stop)

    def _note_configuration(self, run: Configuration) -> None:
        error = run.exception()
        if error is None:
            done = run.result()
            self._for_each_ticket(lambda ticket: ticket.configured.extend(set(done) & ticket.lacking))
        elif isinstance(error, Aborted):
            return  # it is done by the next run
        elif isinstance(error, Exception):
            at_fault = error.nodes & self._configured.keys() if isinstance(error, TaskFailed) else frozenset()
            for name in at_fault or self._configured:
                self._fail(name, self._configured[name], error)

    def configure_again(
        self, nodes: Sequence[Node], running: Mapping[str, RunningNode], only: Sequence[str], report: Report
    ) -> Configuration:
        """Run the roles of some nodes, whether anything has changed or not."""
        return self._configurator.submit(self._run_roles, nodes, running, only, report)

    # -- what is lacking ------------------------------------------------------------------------------------------

    def _lacking(self, plan: Plan) -> dict[str, Node]:
        """The nodes that are not as planned yet; the state is asked once, however many they are."""
        known, wired = self._known or {}, self._kernel.nodes
        made = [
            node
            for node in plan.nodes
            if (present := known.get(node.name)) and present.node == _spec(node) and node.name in wired
        ]
        delivered = self.store.nodes.delivered()
        old = {node.name for node in made if node.files and self._undelivered(node, known, delivered)}
        old |= {*unconfigured(self.store, made, {node.name: known[node.name].running for node in made})}
        whole = {node.name for node in made} - old
        return {node.name: node for node in plan.nodes if node.name not in whole}

    def _unfinished(self) -> dict[str, Node | None]:
        """The nodes that are not as planned yet, and those that are being removed."""
        if self._plan is None:
            return {}
        return {**dict.fromkeys(self._leaving(self._plan)), **self._lacking(self._plan)}

    def _settle(self, plan: Plan, lacking: Collection[str]) -> None:
        """See how far the tickets are."""
        leaving = set(self._leaving(plan))
        for ticket in self._tickets:
            ticket.lacking.intersection_update(lacking)
            ticket.leaving &= leaving
            failed = frozenset(ticket.lacking & self._failures.keys())
            if failed and ticket.error is None:
                ticket.at_fault = failed
                ticket.error = self._failures[min(failed)].error
        going_on = [ticket for ticket in self._tickets if not ticket.over]
        if len(going_on) < len(self._tickets):
            self._wake()  # those who wait look before the next round
        self._tickets = going_on

    # -- health ---------------------------------------------------------------------------------------------------

    def checks(self, topology: Topology) -> Callable[[], dict[str, Health]]:
        """One round of health checks, to be called wherever it holds nobody up: it needs no store."""
        running = self.store.running
        paths = {
            c.name: namespace.segment(topology.name, running.name(NameKey.google(topology.connector_network(c))))
            for c in topology.vpcaccess.connectors
        }
        return partial(self.health.round, self.store.connectors.instances(), paths, ended(self.store.nodes.processes()))

    def note(self, found: Mapping[str, Health]) -> Mapping[str, Health]:
        """Write down what health checks have found, and which instances have ended; returns what is news."""
        known = {i.name: i.health for i in self.store.connectors.instances()}
        now: dict[str, Health] = {**found, **dict.fromkeys(ended(self.store.nodes.processes()), "unhealthy")}
        changed = {name: health for name, health in now.items() if name in known and known[name] != health}
        self.store.connectors.set_health(changed)
        for name, health in changed.items():
            self.store.events.add("instance", name, f"is {health}", health=health)
        return changed


def preview(topology: Topology, running: Running) -> Plan:
    """What there would be, without the instances of connectors."""
    allocations = allocate(topology, running.allocations)
    return compile_topology(topology, Running(allocations, (), running.auth_strings, running.certificates))


def _haste(node: Node) -> int:
    """Which nodes are started first: what Ansible configures, then what has to get healthy, as both take their time."""
    return 0 if node.role else 1 if node.kind == "connector-instance" else 2


def _spec(node: Node | None) -> Node | None:
    """What a node's container is made from: its files can change while it runs."""
    return None if node is None else replace(node, files={})
