"""Makes a testbed what its topology says, from whatever it is now.  Running it again is always safe.

The order: write down, then make.  Namespaces, images and containers first, then the wiring (one `kernel.apply`), then
the configuration of nodes by Ansible.  Health is the business of others (`control.watch`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

from testbed.control import connectors
from testbed.control.realise import namespaces
from testbed.control.realise.allocate import allot
from testbed.control.realise.configuration import run_roles, unconfigured
from testbed.control.realise.node_files import deliver
from testbed.control.state.progress import Progress, Report, silent
from testbed.control.state.store import Store
from testbed.control.watch import firewall_log
from testbed.control.watch.health import HealthChecker, ended
from testbed.errors import Aborted, AlreadyExists
from testbed.fabric.allocation.addressing import allocate
from testbed.fabric.allocation.running import Health, Running
from testbed.fabric.allocation.short_names import google, region
from testbed.fabric.compiler import compile_topology
from testbed.fabric.naming import host_name
from testbed.fabric.plan import Node, Plan
from testbed.kernel import namespace
from testbed.kernel.apply import adjust, apply, reroute
from testbed.kernel.change import KernelChange
from testbed.model.topology import Topology
from testbed.nodes.container import RunningNode
from testbed.nodes.docker import DockerNodes
from testbed.nodes.images import Images

Configuration = Future[list[str]]
"""A run of Ansible; the nodes that it has configured."""


@dataclass(slots=True)
class Outcome:
    """What one reconciliation did."""

    started: list[str] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    changes: list[KernelChange] = field(default_factory=list)
    configured: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    """Connectors that did not get healthy, with Google's error text."""
    configuration: Configuration | None = None
    """What new or changed nodes still wait for, if they do."""

    @property
    def changed(self) -> bool:
        """Whether anything was changed at all."""
        return bool(self.started or self.stopped or self.changes or self.configured)


class Reconciler:
    """Brings one testbed into its desired state."""

    def __init__(self, store: Store, nodes: DockerNodes, images: Images) -> None:
        self.store = store
        self.nodes = nodes
        self.images = images
        self.report: Report = silent
        self.cancelled = threading.Event()
        self.health = HealthChecker()
        self._made: tuple[int, Plan] | None = None
        """The revision that this reconciler was the last to begin, and the plan that it made true."""
        self._configurator = ThreadPoolExecutor(1, "configuration")
        self._configuration: Configuration | None = None
        self._stop = threading.Event()

    def begin_request(self, report: Report, cancelled: threading.Event) -> None:
        """Tell somebody of the work that follows, and let them stop it between two of its stages."""
        self.report, self.cancelled = report, cancelled

    def finish_request(self) -> None:
        """Nobody is told any more."""
        self.report, self.cancelled = silent, threading.Event()

    def check(self, topology: Topology) -> None:
        """See that a topology can be made, before anything is changed; nothing is written.

        Raises:
            TestbedError: an image is missing, the kernel lacks something, or something is in the way.
        """
        firewall_log.require(topology)
        self._check(preview(topology, self.store.running))

    def cancel_configuration(self) -> None:
        """Stop what Ansible does in the background; it is done by the next run."""
        self._stop.set()

    def close(self) -> None:
        """End what works in the background, for good."""
        self._stop.set()
        self._configurator.shutdown()

    def advance(self, topology: Topology, again: Collection[str] = ()) -> Outcome:
        """Make what the resources in effect ask for, without waiting for configuration and health.

        Nodes named `again` are made anew, even if they are as planned.

        Where only the firewall and the routes of some namespaces differ from what was made last, only those are looked
        at: that takes milliseconds.

        Raises:
            TestbedError: as `converge`.
        """
        outcome = Outcome()
        firewall_log.require(topology)
        self._prepare(topology)
        self._instances(topology)
        plan = self.plan(topology)
        known = self._made
        self._made = None
        if not again and known is not None and known[0] == self.store.revision and namespaces.same(known[1], plan):
            self._adjust(known[1], plan)
        else:
            self._advance(topology, plan, outcome, again)
        self._remember(plan)
        return outcome

    def _advance(self, topology: Topology, plan: Plan, outcome: Outcome, again: Collection[str]) -> None:
        """All of it: namespaces, nodes, wiring, configuration."""
        images = self._check(plan)
        self._make_namespaces(plan)
        self._proceed()
        present = self.nodes.running()
        planned = self._as_planned(plan, present, images)
        kept = {name: node for name, node in planned.items() if name not in again}
        running = self._start_nodes(plan, present, kept, images, outcome)
        self._proceed()
        plan = self.plan(topology)
        outcome.changes += self._wire(plan, running)
        self._remove_stale_namespaces(plan)
        if unconfigured(self.store, plan.nodes, running):
            self._stop = threading.Event()
            self._configuration = self._configurator.submit(self._configure, plan.nodes, running, self._stop)
            outcome.configuration = self._configuration

    def _proceed(self) -> None:
        """Go on to the next stage.

        Raises:
            Aborted: whoever asked for the work does not want it any more.
        """
        if self.cancelled.is_set():
            raise Aborted("stopped between two stages")

    def _adjust(self, old: Plan, new: Plan) -> None:
        """Only what is inside namespaces that stay as they are wired."""
        before = {space.name: space for space in old.namespaces}
        changed = [space for space in new.namespaces if before[space.name] != space]
        pids = self.store.processes()
        for space in changed:
            adjust(before[space.name], space, namespaces.path(new, space, pids))
        deliver(self.store, self.nodes, new.nodes, pids)

    def forget(self) -> None:
        """Look at everything the next time: nodes have ended."""
        self._made = None

    def _remember(self, plan: Plan) -> None:
        self._made = (self.store.begin_revision(), plan)

    def rewire(self, topology: Topology) -> None:
        """Make nodes and kernel what the running state says, as quickly as possible.

        First new flows leave a failed connector instance, then the nodes that are there are wired, then what is missing
        is started.  A node that runs is left as it is.
        """
        self._made = None
        self.store.begin_revision()
        plan = self.plan(topology)
        self._reroute(topology, plan)
        present = self.nodes.running()
        kept = {name: node for name, node in present.items() if node.state == "running"}
        self._wire(plan.with_nodes(kept), kept)
        images = self.images.ensure({node.image for node in plan.nodes if node.name not in kept})
        outcome = Outcome()
        running = self._start_nodes(plan, present, kept, images, outcome)
        if outcome.started:
            plan = self.plan(topology)
            self._wire(plan, running)
        self._remember(plan)

    def plan(self, topology: Topology) -> Plan:
        """What the resources in effect ask for."""
        return compile_topology(topology, self.store.running)

    def paths(self, plan: Plan, running: Mapping[str, RunningNode]) -> dict[str, str]:
        """Where each namespace of a plan is found."""
        pids = {name: node.pid for name, node in running.items()}
        return {space.name: namespaces.path(plan, space, pids) for space in plan.namespaces}

    # -- before anything is changed -------------------------------------------------------------------------------

    def _check(self, plan: Plan) -> Mapping[str, str]:
        """Find or build the images (a wrong name is a user's commonest mistake); see that nothing is in the way.

        Raises:
            AlreadyExists: if somebody else's namespace or container has a name that is needed.
        """
        images = self.images.ensure({node.image for node in plan.nodes})
        for name in sorted(set(namespace.names()) & namespaces.segments(plan) - self.store.recorded("namespace")):
            raise AlreadyExists(
                f"a network namespace {name} exists that this testbed did not make",
                hint=f"remove it (ip netns delete {name}), or give the testbed another name",
            )
        self.nodes.check_names(node.name for node in plan.nodes)
        return images

    # -- state before making --------------------------------------------------------------------------------------

    def _prepare(self, topology: Topology) -> None:
        store = self.store
        allot(store, topology)

    def _instances(self, topology: Topology) -> None:
        store = self.store
        store.forget_connectors(connectors.deleted(topology, store.connector_states()))
        with store.transaction():
            store.add_instances(connectors.additions(topology, store.instances, store.next_serial))

    # -- making ---------------------------------------------------------------------------------------------------

    def _make_namespaces(self, plan: Plan) -> None:
        wanted = namespaces.segments(plan)
        namespace.delete(*namespace.unfinished(*wanted))
        missing = sorted(wanted - set(namespace.names()))
        self.store.record("namespace", *missing)
        namespace.create(*missing)
        self.report(Progress("namespaces", f"{len(missing)} made", len(wanted), len(wanted)))

    def _as_planned(
        self, plan: Plan, present: Mapping[str, RunningNode], images: Mapping[str, str]
    ) -> dict[str, RunningNode]:
        """The nodes that run, and are made of what the plan says."""
        hashes = {node.name: self.nodes.spec_hash(node, images[node.image]) for node in plan.nodes}
        return {
            name: node for name, node in present.items() if (node.state, node.spec) == ("running", hashes.get(name))
        }

    def _start_nodes(
        self,
        plan: Plan,
        present: Mapping[str, RunningNode],
        kept: Mapping[str, RunningNode],
        images: Mapping[str, str],
        outcome: Outcome,
    ) -> dict[str, RunningNode]:
        """Stop what is not planned or not to be kept, start what is missing; all nodes of the plan run then."""
        wanted = {node.name: node for node in plan.nodes}
        running = {name: node for name, node in kept.items() if name in wanted}
        stopped = sorted(present.keys() - running.keys())
        unwanted = [name for name in stopped if name not in wanted]
        self.nodes.stop_all(stopped)
        self.store.strike("container", *(host_name(plan.testbed, name) for name in unwanted))
        missing = [node for name, node in wanted.items() if name not in running]
        self.store.record("container", *(host_name(plan.testbed, node.name) for node in missing))
        self.store.set_health({node.name: "starting" for node in missing})
        started = self._start(missing, images)
        running |= started
        self.store.set_processes({name: node.pid for name, node in running.items()})
        outcome.started += sorted(started)
        outcome.stopped += unwanted
        return running

    def _start(self, missing: Sequence[Node], images: Mapping[str, str]) -> dict[str, RunningNode]:
        done = 0

        def tell(node: RunningNode) -> None:
            nonlocal done
            done += 1
            self.report(Progress("nodes", node.name, done, len(missing)))

        return {node.name: node for node in self.nodes.start_all(missing, images, tell)}

    def _wire(self, plan: Plan, running: Mapping[str, RunningNode]) -> list[KernelChange]:
        changes = apply(plan, self.paths(plan, running))
        self.report(Progress("wiring", f"{len(changes)} changes", 1, 1))
        deliver(self.store, self.nodes, plan.nodes, {name: node.pid for name, node in running.items()})
        return changes

    def _reroute(self, topology: Topology, plan: Plan) -> None:
        """Give new flows to healthy connector instances only: the part of the wiring that cannot wait."""
        running = self.store.running
        segments = {running.name(region(name)) for name in topology.serverless_regions}
        for space in plan.namespaces:
            if space.name in segments:
                reroute(space, namespace.segment(plan.testbed, space.name))

    def _configure(self, nodes: Sequence[Node], running: Mapping[str, RunningNode], stop: threading.Event) -> list[str]:
        """Run the roles of nodes whose variables or container have changed.  A thread needs a store of its own."""
        with Store.open(self.store.name) as store:
            return run_roles(store, nodes, running, self.report, stop=stop)

    def configure_again(
        self, nodes: Sequence[Node], running: Mapping[str, RunningNode], only: Sequence[str], report: Report
    ) -> Configuration:
        """Run the roles of some nodes, whether anything has changed or not."""

        def run() -> list[str]:
            with Store.open(self.store.name) as store:
                return run_roles(store, nodes, running, report, only=only, stop=self._stop)

        return self._configurator.submit(run)

    def _remove_stale_namespaces(self, plan: Plan) -> None:
        stale = self.store.recorded("namespace") - namespaces.segments(plan)
        namespace.delete(*sorted(stale))
        self.store.strike("namespace", *stale)

    # -- health ---------------------------------------------------------------------------------------------------

    def checks(self, topology: Topology) -> Callable[[], dict[str, Health]]:
        """One round of health checks, to be called wherever it holds nobody up: it needs no store."""
        running = self.store.running
        paths = {
            c.name: namespace.segment(topology.name, running.name(google(topology.connector_network(c))))
            for c in topology.vpcaccess.connectors
        }
        return partial(self.health.round, self.store.instances, paths, ended(self.store.processes()))

    def note(self, found: Mapping[str, Health]) -> Mapping[str, Health]:
        """Write down what health checks have found, and which instances have ended; returns what is news."""
        known = {i.name: i.health for i in self.store.instances}
        now: dict[str, Health] = {**found, **dict.fromkeys(ended(self.store.processes()), "unhealthy")}
        changed = {name: health for name, health in now.items() if name in known and known[name] != health}
        self.store.set_health(changed)
        return changed


def preview(topology: Topology, running: Running) -> Plan:
    """What there would be, but for instances of connectors."""
    addresses = allocate(topology, running.addresses)
    return compile_topology(topology, Running(addresses, (), running.auth_strings, running.certificates))
