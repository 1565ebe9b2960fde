"""The controller of a running testbed: checks the health of connector instances and replaces those that fail.

`testbed up` starts one per testbed in the background (`control.controller_process`); `testbed serve` runs it in the
foreground, one testbed of that name after the other.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, closing
from threading import Event, Lock
from typing import Protocol, TypeVar, cast

import docker

from testbed import descendants
from testbed.control import connectors
from testbed.control.accept.plane import ControlPlane, topology_of
from testbed.control.channel.listener import Handler, Service, listening
from testbed.control.commands import Commands
from testbed.control.realise.applying import Applier, Apply
from testbed.control.realise.executor import Executor
from testbed.control.realise.guest_scripts import Startups
from testbed.control.realise.reconciler import Reconciler
from testbed.control.state.folders import clear, exists, folder_of
from testbed.control.state.lock import CONTENTION, held
from testbed.control.state.store import Store
from testbed.control.watch import dynamic_routing
from testbed.control.watch.disks import DiskWatch
from testbed.control.watch.firewall_log import FirewallLog, file_in, places
from testbed.control.watch.health import INTERVAL, ended
from testbed.control.watch.observation import Containers
from testbed.errors import Aborted, NotFound, TestbedError, Unavailable
from testbed.fabric.allocation.running import Health
from testbed.model.topology import Topology
from testbed.nodes.docker import DockerNodes
from testbed.nodes.engine import connect
from testbed.nodes.images import Images

T = TypeVar("T")

log = logging.getLogger("testbed.controller")
FIRST_COMMAND = 60.0
"""Seconds that the command which has started a controller may take to say what it wants."""
LOOK = 0.05
"""Seconds between two looks at whether an instance's process is still there."""


class Served(Protocol):
    """A control plane that can be reached."""

    def handlers(self) -> Mapping[str, Handler]:
        """What it does for commands."""


Serving = Callable[[ControlPlane], AbstractContextManager[Served]]
"""What makes a control plane reachable; the layer above knows how."""


def serve(
    name: str,
    stop: Event,
    serving: Serving,
    started: Callable[[], None] = lambda: None,
    *,
    owner: int = 0,
    create: bool = False,
) -> None:
    """Watch over a testbed, and serve its control plane and its commands, until it is gone or `stop` is set.

    The caller has the controller's lock.  `started` is called when calls can be taken; `owner` is the user who may
    give commands, beside root.  With `create`, the testbed is made by the first command; if that cannot be, nothing
    is left of it.
    """
    folder = folder_of(name)
    descendants.end(descendants.WORK, str(folder))  # what a controller that was killed has left running
    descendants.mark(str(folder))
    wake = Event()
    with Store.open(name, create=create) as store, Store.open(name) as shared, Store.open(name) as reader:
        store.load_generator = False
        client = connect()
        nodes = Containers(DockerNodes(name, shared.id, client))
        plane = ControlPlane(shared, reader=reader, wake=wake.set, nodes=nodes)
        with closing(Watch(name, client, Executor(plane.ended), wake)) as watch, serving(plane) as server:
            handlers = {**Commands(plane, watch, client).handlers(), **server.handlers()}
            with listening(folder, Service(handlers, owner)):
                started()
                try:
                    _watch(watch, store, stop, FIRST_COMMAND if create else None)
                finally:
                    watch.end()
        begun = store.begun
    if create and not begun:
        clear(folder)
    log.info("ended")


def _watch(watch: Watch, store: Store, stop: Event, patience: float | None) -> None:
    """One round after the other; without a topology, no longer than a first command may take to bring one."""
    said, deadline = "", time.monotonic() + (patience or 0.0)
    while not stop.is_set() and exists(store.name):
        try:
            watch.round(store)
            said = ""
        except TestbedError as error:
            said = _news(error.message, said)
        except Exception as error:  # a boundary: it stays, and the next round may do better
            text = f"{type(error).__name__}: {error}"
            if text != said:
                log.exception("a round")
            said = text
        if patience is not None and not store.begun and (watch.refused or time.monotonic() > deadline):
            return
        watch.rest(stop)


def serve_always(name: str, stop: Event, serving: Serving) -> None:
    """Watch over whatever testbed has a name, one after the other, until `stop` is set.

    While there is none, or another controller watches over it, wait: without a trace, for its folder may be going.
    """
    said = _news(f"waiting for testbed {name!r}", "")
    while not stop.wait(INTERVAL):
        if exists(name):
            try:
                with held(folder_of(name), patience=CONTENTION):
                    log.info("begun")
                    serve(name, stop, serving)
                said = ""
            except (NotFound, Unavailable) as error:
                said = _news(error.message, said)


def _ending() -> Aborted:
    return Aborted("controller: it was told to end", hint="go on from here: testbed up")


def _news(message: str, said: str) -> str:
    """Log a message, unless it is what was said last."""
    if message != said:
        log.info("%s", message)
    return message


class Watch:
    """One testbed at a time, which is whatever has the name now."""

    def __init__(self, name: str, client: docker.DockerClient, executor: Executor, wake: Event) -> None:
        self._name = name
        self._client = client
        self._executor = executor
        self._wake = wake
        self._id = ""
        self._replacer = connectors.Replacer()
        self._reconciler: Reconciler | None = None
        self._applier = Applier(executor.replace)
        self._startups = Startups()
        self._disks = DiskWatch()
        self.refused = False
        """Whether a topology that was asked for could not be brought into effect."""
        self._works: deque[tuple[Callable[[Reconciler], None], Future[object]]] = deque()
        """What others want to be done, and how they are told of its end."""
        self._accepting = Lock()
        self._over = False
        self._behind = False
        """Whether the last change did not come to its end."""
        self._prober = ThreadPoolExecutor(1, "probes")
        self._probes: Future[dict[str, Health]] | None = None
        self._probed: Mapping[str, int] = {}
        """The processes of the nodes when the probes were sent."""
        self._next_probes = 0.0
        self._processes: Mapping[str, int] = {}
        """The instances' processes that ran at the end of the last round."""
        self._log = FirewallLog(file_in(folder_of(name)))
        self._logged: tuple[str, int] | None = None
        """The testbed and its revision that the firewall log knows."""

    def close(self) -> None:
        """End what works in the background."""
        self._log.close()
        self._prober.shutdown()
        self._disks.close()
        if self._reconciler is not None:
            self._reconciler.close()

    def apply(self, request: Apply) -> None:
        """Put a topology in the place of the present one; for any thread."""
        with self._accepting:
            if self._over:
                request.result.set_exception(_ending())
                return
            self._applier.submit(request)
        self._wake.set()

    def refuse(self) -> None:
        """Note that what a command has asked for cannot be; for any thread."""
        self.refused = True
        self._wake.set()

    def do(self, work: Callable[[Reconciler], T]) -> Future[T]:
        """Do some work that is short, between two rounds; for any thread."""
        result: Future[T] = Future()

        def run(reconciler: Reconciler) -> None:
            try:
                result.set_result(work(reconciler))
            except Exception as error:  # noqa: BLE001 - the caller is told
                result.set_exception(error)

        with self._accepting:
            if self._over:
                result.set_exception(_ending())
                return result
            self._works.append((run, cast("Future[object]", result)))
        self._wake.set()
        return result

    def end(self) -> None:
        """Do nothing for others any more; they are told."""
        with self._accepting:
            self._over = True
        self._applier.close(_ending())
        while self._works:
            self._works.popleft()[1].set_exception(_ending())

    def round(self, store: Store) -> None:
        """Carry out what was accepted; probe; give new flows to healthy instances only; replace those given up."""
        self._processes = {}
        reconciler = self._of(store)
        while self._works:
            self._works.popleft()[0](reconciler)
        self._applier.round(store, reconciler)
        if not (store.complete or self._applier.busy):
            return
        self._executor.round(store, reconciler)
        topology = topology_of(store)
        self._learn(reconciler, topology)
        changed = self._probe(reconciler, topology)
        replaced = self._replace(reconciler, topology)
        names = {instance.name for instance in store.connectors.instances()}
        if changed or replaced or self._behind:
            self._behind = True
            reconciler.advance(topology)
            self._behind = False
            self._wake.set()  # an operation may have waited for it
        reconciler.round()
        if self._disks.round(store, reconciler.nodes, reconciler.disks):
            reconciler.look_again()  # so they are made anew
        self._startups.round(store, reconciler.nodes, reconciler.whole)
        self._listen(store, topology)
        running = {name: pid for name, pid in store.nodes.processes().items() if name in names}
        self._processes = {name: pid for name, pid in running.items() if name not in ended(running)}

    def _learn(self, reconciler: Reconciler, topology: Topology) -> None:
        """Take the routes that BGP has brought into the networks, and those that it has withdrawn out of them."""
        store = reconciler.store
        running, processes = store.running, store.nodes.processes()
        found, known = dynamic_routing.learned(topology, running, processes), running.learned
        if found == known:
            return
        for mark, routes in (("learned", {*found} - {*known}), ("withdrawn", {*known} - {*found})):
            for route in sorted(routes):
                text = f"was {mark} at {route.node}, priority {route.priority}"
                store.events.add("route", route.destination, text, node=route.node, priority=route.priority)
        store.learned_routes.replace(found)
        reconciler.advance(topology)

    def _listen(self, store: Store, topology: Topology) -> None:
        """Have the firewall log know the rules that are in force."""
        if self._logged != (now := (store.id, store.revision)):
            self._log.watch(topology, store.running, places(topology, store.running))
            self._logged = now

    def _probe(self, reconciler: Reconciler, topology: Topology) -> Mapping[str, Health]:
        """Take note of what health checks found, and begin the next: an instance that is silent holds nobody up."""
        found: Mapping[str, Health] = {}
        processes = reconciler.store.nodes.processes()
        if self._probes is not None and self._probes.done():
            found = {n: h for n, h in self._probes.result().items() if self._probed.get(n) == processes.get(n)}
            self._probes = None
        if self._probes is None and time.monotonic() >= self._next_probes:
            self._next_probes = time.monotonic() + INTERVAL
            self._probed = processes
            self._probes = self._prober.submit(reconciler.checks(topology))
            self._probes.add_done_callback(lambda _: self._wake.set())
        return reconciler.note(found)

    def rest(self, stop: Event) -> None:
        """Until the next round is due: at once, when something was accepted or an instance's process has ended."""
        deadline = time.monotonic() + INTERVAL
        while not stop.is_set() and time.monotonic() < deadline and not ended(self._processes):
            if self._wake.wait(LOOK):
                self._wake.clear()
                return

    def _of(self, store: Store) -> Reconciler:
        if self._reconciler is None or store.id != self._id:
            self._id = store.id
            self._startups = Startups()
            self._replacer, self._behind = connectors.Replacer(), True  # whatever has changed while nobody looked
            if self._reconciler is not None:
                self._reconciler.close()
            nodes = DockerNodes(self._name, store.id, self._client, store.ca)
            self._reconciler = Reconciler(store, nodes, Images(self._client, lambda *_: None), self._wake.set)
        self._reconciler.store = store
        return self._reconciler

    def _replace(self, reconciler: Reconciler, topology: Topology) -> bool:
        """Put new instances in the place of those that are given up."""
        store = reconciler.store
        begun = store.nodes.processes().keys()
        present = store.connectors.instances()
        running = [one for one in present if one.name in begun and not reconciler.at_work_on(one.name)]
        gone = self._replacer.given_up(running, time.monotonic())
        gone += connectors.next_outdated(topology, present)
        if not gone:
            return False
        with store.transaction():
            pairs = list(connectors.replacements(topology, present, gone, store.connectors.next_serial))
            store.connectors.replace(pairs)
            for old, new in pairs:
                text = f"({old.address}) is replaced by {new.name} ({new.address})"
                store.events.add("instance", old.name, text, connector=old.connector, successor=new.name)
        return bool(pairs)
