"""What the controller does for commands: each handler answers one kind of request on its socket.

A handler runs in a thread of its own.  It reads by a connection to the state of its own; what changes nodes or the
kernel is done by the controller's loop.
"""

from __future__ import annotations

import base64
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import asdict
from functools import partial
from pathlib import Path
from threading import Lock, Thread
from typing import Protocol, TypeVar

import docker

from testbed import topology_export
from testbed.control import invocation
from testbed.control.accept import deletions, requested_topology
from testbed.control.accept.plane import STUCK, ControlPlane
from testbed.control.channel.listener import Handler, Request
from testbed.control.facts.drops import drop_rows
from testbed.control.facts.names import by_name, node_named, service_named
from testbed.control.facts.status import connector_rows, notes, status
from testbed.control.facts.traffic import instance_traffic
from testbed.control.realise import capacity
from testbed.control.realise.applying import Apply
from testbed.control.realise.configuration import with_roles
from testbed.control.realise.reconciler import Reconciler, preview
from testbed.control.realise.ticket import Ticket
from testbed.control.state import faults
from testbed.control.state.progress import Progress
from testbed.control.state.store import Store
from testbed.errors import Aborted, NotFound, PermissionDenied, TestbedError, Unavailable
from testbed.fabric.plan import Plan
from testbed.json_object import Json
from testbed.model.topology import Topology
from testbed.nodes.docker import DockerNodes
from testbed.nodes.images import Images
from testbed.nodes.making import Making

T = TypeVar("T")
Wanted = Callable[[Topology | None], Topology]
"""What topology is wanted, where this is there."""

log = logging.getLogger("testbed.controller")

_MOMENT = 0.02
POLL = 0.1
"""Seconds between two looks at whether the caller is still there."""


class Loop(Protocol):
    """What the controller's loop does for others, between two of its rounds."""

    def apply(self, request: Apply) -> None:
        """Put a topology in the place of the present one."""

    def refuse(self) -> None:
        """Note that a topology that was asked for cannot be."""

    def do(self, work: Callable[[Reconciler], T]) -> Future[T]:
        """Do some work that is short."""


class Commands:
    """The handlers of one testbed's controller."""

    def __init__(self, plane: ControlPlane, loop: Loop, client: docker.DockerClient) -> None:
        self._plane = plane
        self._loop = loop
        self._client = client
        self._name = plane.store.name
        self._load = Lock()
        """Held by the load test that runs."""

    def handlers(self) -> Mapping[str, Handler]:
        """All of them, by the names of the requests."""
        return {
            "up": self.up,
            "names": self.names,
            "status": self.status,
            "endpoint": self.endpoint,
            "configure": self.configure,
            "capacity": self.capacity,
            "invoke": self.invoke,
            "load": self.load,
            "traffic": self.traffic,
            "events": self.events,
            "drops": self.drops,
            "clock": self.clock,
            "clock advance": self.advance_clock,
            "fault add": self.add_fault,
            "fault list": self.list_faults,
            "fault clear": self.clear_faults,
        }

    # -- the topology ---------------------------------------------------------------------------------------------

    def up(self, request: Request) -> Json:
        """Make the testbed what a topology says, and wait until it is."""
        try:
            return self._up(request)
        except BaseException:
            self._loop.refuse()
            raise

    def _up(self, request: Request) -> Json:
        if request.user != 0:
            raise PermissionDenied("this command: only root may change this host", hint="run it with sudo")
        wanted = self._wanted(request.arguments)
        with Store.open(self._name) as store:
            topology = wanted(store.topology)
            if not request.arguments.get("confirmed"):
                deletions.check(store.resources.missing_in(topology))  # before images are made, which takes its time
            plan = preview(topology, store.running)
        make = partial(self._make, request, wanted, plan)
        if request.arguments.get("detach"):
            Thread(target=self._detached, args=(make,), name="detached up", daemon=True).start()
            return {"failed": {}}
        outcome = make()
        with Store.open(self._name) as store:
            topology = _topology(store)
            return {
                "name": store.name,
                "port": store.port,
                "changed": outcome.changed,
                "started": outcome.started,
                "stopped": outcome.stopped,
                "kernelChanges": len(outcome.changes),
                "configured": outcome.configured,
                "failed": outcome.failed,
                "notes": notes(store, topology),
                "connectors": list(connector_rows(store, topology)),
                "services": [workload.id for workload in topology.served],
                "instances": [instance.name for instance in topology.compute.instances],
            }

    def _make(self, request: Request, wanted: Wanted, plan: Plan) -> Ticket:
        """Make the images that are missing, then all the rest."""
        Images(self._client, partial(building, request)).ensure({node.image for node in plan.nodes})
        given = request.arguments
        apply = Apply(
            wanted,
            str(given["source"]),
            bool(given.get("confirmed")),
            given.get("operationDelay"),
            given.get("strictProjects"),
            request.report,
            request.cancelled,
        )
        self._loop.apply(apply)
        return apply.result.result()

    def _detached(self, make: Callable[[], Ticket]) -> None:
        try:
            make()
        except TestbedError as error:
            log.info("detached up: %s", error.message)
            self._loop.refuse()

    def _wanted(self, arguments: Json) -> Wanted:
        if (given := arguments.get("empty")) is not None:
            empty = requested_topology.empty(
                self._name,
                given.get("project"),
                given.get("region"),
                given.get("zone"),
                default=bool(given.get("defaultNetwork", True)),
            )
            return lambda present: requested_topology.as_it_is(present, empty)
        if "text" not in arguments:
            return requested_topology.unchanged
        topology = requested_topology.of_text(
            arguments["text"], arguments["file"], Path(arguments["folder"]), self._name, self._secrets(arguments)
        )
        return lambda _: topology

    def _secrets(self, arguments: Json) -> dict[str, str]:
        """The values of secrets that a file may name: those that are in use, and those that are given with it."""
        with Store.open(self._name) as store:
            present = store.topology
        return {**(topology_export.secrets(present) if present else {}), **arguments.get("secrets", {})}

    def configure(self, request: Request) -> Json:
        """Run the Ansible roles of nodes again."""
        asked: list[str] = request.arguments.get("nodes", [])

        def begin(reconciler: Reconciler) -> Future[list[str]]:
            store = reconciler.store
            plan, running = reconciler.plan(_topology(store)), reconciler.nodes.running()
            only = with_roles([node_named(store, name) for name in asked], plan.nodes, running)
            return reconciler.configure_again(plan.nodes, running, only, request.report)

        return {"configured": self._loop.do(begin).result().result()}

    def capacity(self, request: Request) -> Json:
        """Give connectors another capacity, and wait until the kernel has it."""
        given = request.arguments
        wanted = capacity.parsed(given["capacity"])

        def begin(reconciler: Reconciler) -> Ticket:
            return reconciler.advance(capacity.change(reconciler.store, given["connector"], wanted))

        _await(self._loop.do(begin).result())
        with Store.open(self._name) as store:
            return {"connectors": list(connector_rows(store, _topology(store)))}

    # -- what there is --------------------------------------------------------------------------------------------

    def status(self, _: Request) -> Json:
        """Everything that is shown of a testbed."""
        with Store.open(self._name) as store:
            return status(store, _topology(store), DockerNodes(store.name, store.id, self._client))

    def names(self, _: Request) -> Json:
        """What nodes and services are called."""
        with Store.open(self._name) as store:
            topology = store.topology
            services = by_name(store, topology.served) if topology else {}
            return {"nodes": [*store.nodes.processes()], "services": [*services]}

    def endpoint(self, _: Request) -> Json:
        """Where Google's APIs are served, and what clients are told of the project."""
        with Store.open(self._name) as store:
            topology = _topology(store)
            return {
                "name": store.name,
                "id": store.id,
                "port": store.port,
                "project": topology.project,
                "region": topology.region,
                "zone": topology.zone,
            }

    def traffic(self, _: Request) -> Json:
        """What each connector instance has carried."""
        with Store.open(self._name) as store:
            return {"instances": [asdict(one) for one in instance_traffic(store, _topology(store))]}

    def drops(self, _: Request) -> Json:
        """What was dropped, and why."""
        with Store.open(self._name) as store:
            return {"drops": list(drop_rows(store, _topology(store)))}

    def invoke(self, request: Request) -> Json:
        """Send a request to a service, from the internet."""
        given = request.arguments
        with Store.open(self._name) as store:
            workload = service_named(store, _topology(store), given["service"])
            answer = invocation.request(
                store.name,
                store.running,
                workload.host,
                given["method"],
                f"{workload.path}/{given['path'].lstrip('/')}",
                headers=given["headers"],
                body=None if given.get("body") is None else base64.b64decode(given["body"]),
                timeout=float(given["timeout"]),
            )
        return {
            "status": answer.status,
            "reason": answer.reason,
            "body": base64.b64encode(answer.body).decode(),
        }

    # -- time -----------------------------------------------------------------------------------------------------

    def events(self, request: Request) -> Json:
        """What has happened after an event; if there is nothing, wait a while for the next."""
        after, deadline = int(request.arguments["after"]), time.monotonic() + float(request.arguments.get("wait", 0))
        with Store.open(self._name) as store:
            while not (found := store.events.after(after)) and time.monotonic() < deadline:
                if request.cancelled.wait(POLL) or request.gone.is_set():
                    break
        return {"events": [asdict(one) for one in found], "last": found[-1].number if found else after}

    def clock(self, _: Request) -> Json:
        """What time it is in the testbed."""
        with Store.open(self._name) as store:
            return {"now": store.clock.now(), "ahead": store.clock.ahead}

    def advance_clock(self, request: Request) -> Json:
        """Put the clock forward, and let go on what has waited for it."""
        self._plane.advance_clock(float(request.arguments["seconds"]))
        return self.clock(request)

    # -- load -----------------------------------------------------------------------------------------------------

    def load(self, request: Request) -> Json:
        """Keep the load generator on the internet segment until the caller ends it, or is gone."""
        if not self._load.acquire(blocking=False):
            raise Unavailable(f"testbed {self._name!r}: another load test is running", hint="wait for it, or end it")
        try:
            try:
                _await(self._loop.do(partial(_load_generator, present=True)).result())
                request.report(Progress("load", "the generator is there"))
                while not (request.cancelled.wait(POLL) or request.gone.is_set()):
                    pass
            finally:
                _await(self._loop.do(partial(_load_generator, present=False)).result())
        finally:
            self._load.release()
        return {}

    # -- faults ---------------------------------------------------------------------------------------------------

    def add_fault(self, request: Request) -> Json:
        """Let something go wrong."""
        made = faults.fault(**request.arguments)
        store = self._plane.store
        with self._plane.transaction():
            fault = store.faults.add(made)
            text = f"({fault.kind}) waits for {fault.method} of {fault.resource}"
            store.events.add("fault", f"fault {fault.number}", text)
        return asdict(fault)

    def list_faults(self, _: Request) -> Json:
        """The faults that can still strike, and the operations that one holds up."""
        with Store.open(self._name) as store:
            return {"faults": [asdict(one) for one in store.faults.all()], "stuck": _stuck(store)}

    def clear_faults(self, request: Request) -> Json:
        """Remove the faults; operations that one holds up go on."""
        number = request.arguments.get("number")
        with self._plane.transaction():
            store = self._plane.store
            before, stuck = len(store.faults.all()), _stuck(store) if number is None else []
            store.faults.remove(number)
            removed = before - len(store.faults.all())
            store.events.add("fault", "all faults" if number is None else f"fault {number}", "cleared")
        if number is None:
            self._plane.release()
        return {"removed": removed, "released": stuck}


def building(request: Request, now: Making) -> None:
    """The making of images as a phase of the work; it ends if it is not wanted any more."""
    if request.cancelled.is_set():
        raise Aborted("images: interrupted while they were being made", hint="go on from here: testbed up")
    count = "" if now.total is None else f"{now.done}/{now.total} "
    request.report(Progress("images", f"{count}{now.text}", now.done, now.total, now.news))


def _load_generator(reconciler: Reconciler, *, present: bool) -> Ticket:
    store = reconciler.store
    store.load_generator = present
    return reconciler.advance(_topology(store))


def _await(ticket: Ticket) -> None:
    """Until a change is made.  Raises as it fails."""
    while not ticket.over:
        time.sleep(_MOMENT)
    if ticket.error is not None:
        raise ticket.error


def _stuck(store: Store) -> list[Json]:
    found = (one for one in store.operations.open() if one.facts.get(STUCK) and one.due)
    return [{"operation": one.id, "method": one.method, "resource": one.target} for one in found]


def _topology(store: Store) -> Topology:
    topology = store.topology
    if topology is None:
        raise NotFound(
            f"testbed {store.name!r}: it was not finished", hint=f"remove it: testbed down --name {store.name}"
        )
    return topology
