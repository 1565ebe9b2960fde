"""The controller of a running testbed: checks the health of connector instances and replaces those that fail.

`testbed up` starts one per testbed in the background (`testbed.control.background`); `testbed serve` runs it in the
foreground, one testbed of that name after the other.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from threading import Event

import docker

from testbed.control import connectors
from testbed.control.executor import Executor
from testbed.control.health import INTERVAL, ended
from testbed.control.lock import CONTENTION, CONTROLLER, held, writing
from testbed.control.plane import ControlPlane, topology_of
from testbed.control.reconciler import Reconciler
from testbed.control.store import Store, exists, folder_of
from testbed.errors import NotFound, TestbedError, Unavailable
from testbed.model.topology import Topology
from testbed.nodes.docker import DockerNodes
from testbed.nodes.engine import connect
from testbed.nodes.images import Images

log = logging.getLogger("testbed.controller")
LOOK = 0.05
"""Seconds between two looks at whether an instance's process is still there."""


Serving = Callable[[ControlPlane], AbstractContextManager[object]]
"""What makes a control plane reachable; the layer above knows how."""


def serve(name: str, stop: Event, serving: Serving, started: Callable[[], None] = lambda: None) -> None:
    """Watch over a testbed, and serve its control plane, until it is gone or `stop` is set.

    The caller has the controller's lock.  `started` is called when calls can be taken.
    """
    wake = Event()
    with Store.open(name) as store, Store.open(name) as shared:
        plane = ControlPlane(shared, wake=wake.set)
        watch = Watch(name, connect(), Executor(plane.ended), wake)
        with serving(plane):
            started()
            said = ""
            while not stop.is_set() and exists(name):
                wake.clear()
                try:
                    with writing(folder_of(name)):
                        watch.round(store)
                    said = ""
                except TestbedError as error:  # a command is at work on it, or it is not as it should be
                    said = _news(error.message, said)
                watch.rest(stop)
    log.info("ended")


def serve_always(name: str, stop: Event, serving: Serving) -> None:
    """Watch over whatever testbed has a name, one after the other, until `stop` is set.

    While there is none, or another controller watches over it, wait: without a trace, for its folder may be going.
    """
    said = _news(f"waiting for testbed {name!r}", "")
    while not stop.wait(INTERVAL):
        if exists(name):
            try:
                with held(folder_of(name), CONTROLLER, patience=CONTENTION):
                    log.info("begun")
                    serve(name, stop, serving)
                said = ""
            except (NotFound, Unavailable) as error:
                said = _news(error.message, said)


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
        self._behind = False
        """Whether the last change did not come to its end."""
        self._processes: Mapping[str, int] = {}
        """The instances' processes that ran at the end of the last round."""

    def round(self, store: Store) -> None:
        """Carry out what was accepted; probe; give new flows to healthy instances only; replace those given up."""
        self._processes = {}
        if not store.complete:
            return
        reconciler = self._of(store)
        self._executor.round(store, reconciler)
        topology = topology_of(store)
        changed = reconciler.probe(topology)
        if changed:
            for instance in store.instances:
                log.info("%s (%s) is %s", instance.name, instance.address, instance.health)
        replaced = self._replace(reconciler, topology)
        names = {instance.name for instance in store.instances}
        if changed or replaced or self._behind or not names <= store.processes().keys():
            self._behind = True
            reconciler.rewire(topology)
            self._behind = False
        running = {name: pid for name, pid in store.processes().items() if name in names}
        self._processes = {name: pid for name, pid in running.items() if name not in ended(running)}

    def rest(self, stop: Event) -> None:
        """Until the next round is due: at once, when something was accepted or an instance's process has ended."""
        deadline = time.monotonic() + INTERVAL
        while not stop.is_set() and time.monotonic() < deadline and not ended(self._processes):
            if self._wake.wait(LOOK):
                return

    def _of(self, store: Store) -> Reconciler:
        if self._reconciler is None or store.id != self._id:
            self._id = store.id
            self._replacer, self._behind = connectors.Replacer(), False
            nodes = DockerNodes(self._name, store.id, self._client)
            self._reconciler = Reconciler(store, nodes, Images(self._client, lambda *_: None))
        self._reconciler.store = store
        return self._reconciler

    def _replace(self, reconciler: Reconciler, topology: Topology) -> bool:
        """Put new instances in the place of those that are given up."""
        store = reconciler.store
        gone = self._replacer.given_up(store.instances, time.monotonic())
        if not gone:
            return False
        with store.transaction():
            pairs = list(connectors.replacements(topology, store.instances, gone, store.next_serial))
            store.remove_instances(old.name for old, _ in pairs)
            store.add_instances(new for _, new in pairs)
        for old, new in pairs:
            log.info("%s (%s) is replaced by %s (%s)", old.name, old.address, new.name, new.address)
        return bool(pairs)
