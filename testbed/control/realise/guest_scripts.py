"""When the scripts of VMs' metadata run: at each boot, which is a new container, and before an operation stops a VM.

Nobody waits for startup scripts (Google's operations do not), and an operation waits 90 s at most for shutdown scripts.
A reset runs no shutdown script, nor does `testbed down` or `up`: they pull the plug.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future
from threading import Thread
from typing import Protocol

from testbed.control.state.operations import Operation, ResourceChange
from testbed.control.state.resources import Record
from testbed.control.state.store import Store
from testbed.json_object import Json
from testbed.model.compute.guest_scripts import Phase, Script, scripts
from testbed.model.core.resource import segment
from testbed.nodes.container import RunningNode

INSTANCES, PROJECTS = "compute.instances", "compute.projects"
METADATA, PROJECT_METADATA = "metadata", "commonInstanceMetadata"
SHUTDOWN = 90.0
"""Seconds that shutdown scripts may take: Google's shutdown period of an ordinary VM."""


class Guest(Protocol):
    """What can run scripts in VMs."""

    def run_scripts(
        self, name: str, phase: Phase, scripts: Sequence[Script], timeout: float | None = None
    ) -> list[str]:
        """Run them in a node, and say what became of each."""


Whole = Callable[[Collection[str]], Mapping[str, RunningNode]]
"""Which of some nodes run as planned."""


class Startups:
    """The startup scripts of one testbed's VMs."""

    def __init__(self) -> None:
        self._seen: dict[str, int] = {}
        """The process of each node that needs no look any more."""
        self._running: dict[str, Future[list[str]]] = {}

    def round(self, store: Store, guest: Guest, whole: Whole) -> None:
        """Begin the scripts of VMs that have booted, and tell of those that have ended."""
        for node in [name for name, future in self._running.items() if future.done()]:
            _tell(store, node, self._running.pop(node))
        processes = store.nodes.processes()
        if self._seen == processes:
            return
        names = store.running.allocations
        machines = {node: r for r in store.resources.of(INSTANCES) for node in names.nodes(r.name)}
        fresh = {node for node, pid in processes.items() if self._seen.get(node) != pid and node in machines}
        ready = whole(fresh) if fresh else {}
        booted = store.nodes.booted()
        due = {node: one.container for node, one in ready.items() if booted.get(node) != one.container}
        store.nodes.set_booted(due)  # before they begin: a controller that is killed does not begin them twice
        for node in due:
            record = machines[node]
            if found := _found(store, "startup", record, record.effective or record.body):
                self._running[node] = _in_background(guest, node, "startup", found, None)
        waiting = fresh - ready.keys()
        self._seen = {node: pid for node, pid in processes.items() if node not in waiting}


class Shutdowns:
    """The shutdown scripts that operations wait for."""

    def __init__(self) -> None:
        self._running: dict[str, dict[str, Future[list[str]]]] = {}

    def over(self, store: Store, guest: Guest, operation: Operation) -> bool:
        """Whether all scripts have ended that an operation has to wait for; the first look begins them."""
        if operation.id not in self._running:
            found = dict(_stopping(store, operation))
            self._running[operation.id] = {
                node: _in_background(guest, node, "shutdown", ones, SHUTDOWN) for node, ones in found.items()
            }
        running = self._running[operation.id]
        if not all(future.done() for future in running.values()):
            return False
        for node, future in self._running.pop(operation.id).items():
            _tell(store, node, future)
        return True


def _stopping(store: Store, operation: Operation) -> Iterator[tuple[str, tuple[Script, ...]]]:
    """The nodes that an operation stops, with their scripts."""
    processes = store.nodes.processes()
    for change in operation.changes:
        record = store.resources.get(INSTANCES, change.name) if _stops(change) else None
        if record is None or record.effective is None or record.effective.get("status") == "TERMINATED":
            continue
        if found := _found(store, "shutdown", record, record.effective):
            yield from ((node, found) for node in store.running.allocations.nodes(change.name) if node in processes)


def _stops(change: ResourceChange) -> bool:
    return change.kind == INSTANCES and (change.body is None or change.body.get("status") == "TERMINATED")


def _found(store: Store, phase: Phase, record: Record, body: Json) -> tuple[Script, ...]:
    project = store.resources.get(PROJECTS, f"projects/{segment(record.name, 'projects')}")
    shared = project.body.get(PROJECT_METADATA, {}) if project else {}
    return scripts(phase, _attributes(body.get(METADATA, {})), _attributes(shared))


def _attributes(metadata: Json) -> Mapping[str, str]:
    return {item["key"]: item.get("value", "") for item in metadata.get("items", ())}


def _tell(store: Store, node: str, future: Future[list[str]]) -> None:
    error = future.exception()
    for text in [str(error)] if error else future.result():
        store.events.add("node", node, text)


def _in_background(
    guest: Guest, node: str, phase: Phase, found: Sequence[Script], timeout: float | None
) -> Future[list[str]]:
    """Run scripts in a thread that nobody waits for at the end of the controller: a script may never end."""
    result: Future[list[str]] = Future()

    def run() -> None:
        try:
            result.set_result(guest.run_scripts(node, phase, found, timeout))
        except Exception as error:  # noqa: BLE001 - an event tells it
            result.set_exception(error)

    Thread(target=run, name=f"{phase} scripts of {node}", daemon=True).start()
    return result
