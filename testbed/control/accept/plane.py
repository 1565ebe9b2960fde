"""The control plane: where calls are accepted.  It reads resources, and writes down operations that change them.

A call is accepted in one transaction: the resources get their new bodies, what there would be then is checked as a
topology, and the operation that carries the change out is written beside them.  Then the executor is woken.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Literal

from pydantic import ValidationError

from testbed.control.accept.waiters import Waiting
from testbed.control.lifecycle import duration
from testbed.control.state.faults import leftover
from testbed.control.state.operations import Operation, ResourceChange
from testbed.control.state.resources import Record, model
from testbed.control.state.store import Store
from testbed.control.watch.observation import ObservedNodes, Unseen
from testbed.errors import (
    Aborted,
    AlreadyExists,
    FailedPrecondition,
    GoogleText,
    InvalidArgument,
    NotFound,
    TestbedError,
)
from testbed.fabric.allocation.running import Running
from testbed.json_object import Json
from testbed.model.core.annotations import Path, annotated
from testbed.model.core.faults import faults
from testbed.model.core.problem import Inconsistent, Problem
from testbed.model.core.projects import project_number
from testbed.model.core.resource import ComputeResource, Defaults, NamedResource, Reference, Resource
from testbed.model.kinds import KINDS, assemble
from testbed.model.rules import consistency
from testbed.model.topology import Topology

IN_USE = "resourceInUseByAnotherResource"
STUCK = "stuck"
"""The fact of an operation that does not take effect until the faults are cleared."""
FOR_EVER = 1e12
"""Seconds."""
_ONE_AT_A_TIME = ("vpcaccess.", "redis.", "cloudfunctions.")
"""APIs, by the kinds of their resources, that refuse a change while another is under way (recalled)."""
_UNQUEUED = GoogleText("unable to queue the operation")
Phase = Literal["", "CREATING", "UPDATING", "DELETING"]


class InvalidResource(InvalidArgument):
    """A resource that breaks a rule: where in it, with what value."""

    def __init__(self, path: Path, value: object, rule: str) -> None:
        super().__init__(rule)
        self.path = path
        self.value = value


class Busy(Aborted):
    """An operation is under way on a resource, of an API that queues changes: the call is tried again after it."""

    def __init__(self, operation: str) -> None:
        super().__init__(_UNQUEUED, reason="aborted")
        self.operation = operation


class ControlPlane:
    """The resources and operations of one testbed, for calls from any thread."""

    def __init__(
        self,
        store: Store,
        *,
        reader: Store | None = None,
        wake: Callable[[], None] = lambda: None,
        nodes: ObservedNodes | None = None,
    ) -> None:
        """Changes are written by `store`; reads have a connection of their own, `reader`, and wait for no change."""
        self.store = store
        self._reader = reader or store
        self.nodes = nodes or Unseen()
        self._wake = wake
        self._lock = threading.RLock()
        self._reading = self._lock if reader is None else threading.RLock()
        self._writer = 0
        """The thread whose transaction is under way."""
        self._waiting = Waiting()
        self._accepted = False
        """Whether there is something new for the executor."""

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything inside sees one state, and is written together or not at all.

        The executor, which has a connection of its own, is woken when it can see what was accepted.

        Raises:
            ResourceExhausted: the disk is full.
            Unavailable: somebody else writes, and does not end; or the disk cannot be written.
        """
        with self._lock:
            with self.store.transaction(), self._writing():
                yield
            if self._accepted and not self.store.in_transaction:
                self._accepted = False
                self._wake()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        before, self._writer = self._writer, threading.get_ident()
        try:
            yield
        finally:
            self._writer = before

    # -- reading --------------------------------------------------------------------------------------------------

    @contextmanager
    def reading(self) -> Iterator[Store]:
        """The state, for a moment: as this thread's own transaction has made it, else as it was last written."""
        if self._writer == threading.get_ident():
            yield self.store
        else:
            with self._reading:
                yield self._reader

    @property
    def general(self) -> Mapping[str, Any]:
        """Name and project of the testbed, and its default region and zone."""
        with self.reading() as store:
            return store.general

    def find(self, kind: str, name: str) -> Record | None:
        """A resource, or None; one that is being deleted is still there."""
        with self.reading() as store:
            return store.resources.get(kind, name)

    def get(self, kind: str, name: str) -> Record:
        """A resource.

        Raises:
            NotFound: there is none.
        """
        if record := self.find(kind, name):
            return record
        raise NotFound(GoogleText(f"The resource '{name}' was not found"), reason="notFound")

    def list(self, kind: str, prefix: str = "") -> list[Record]:
        """The resources of a kind whose full names begin so, in the order of their making."""
        with self.reading() as store:
            return store.resources.of(kind, prefix)

    def topology(self) -> Topology:
        """The topology in effect.  Raises as `topology_of`."""
        with self.reading() as store:
            return topology_of(store)

    @property
    def running(self) -> Running:
        """What was given out, and what runs: addresses, instances of connectors, AUTH strings."""
        with self.reading() as store:
            return store.running

    def connector_state(self, name: str) -> str:
        """The state of a connector; READY of one that nobody has looked at yet."""
        with self.reading() as store:
            return store.connectors.states().get(name, "READY")

    def operation(self, name: str) -> Operation:
        """An operation by its id.

        Raises:
            NotFound: there is none.
        """
        with self.reading() as store:
            if found := store.operations.get(name):
                return found
        raise NotFound(GoogleText(f"The resource '{name}' was not found"), reason="notFound")

    def operations(self) -> Sequence[Operation]:
        """All operations, the oldest first."""
        with self.reading() as store:
            return store.operations.all()

    # -- changing -------------------------------------------------------------------------------------------------

    def with_id(self, name: str) -> str:
        """A name whose project is given by its id, where it was given by its number; Google takes either."""
        parts = name.split("/")
        if len(parts) < 2 or parts[0] not in {"projects", "namespaces"} or not parts[1].isdigit():
            return name
        found = next((one for one in self.projects() if str(project_number(one)) == parts[1]), parts[1])
        return "/".join([parts[0], found, *parts[2:]])

    def projects(self) -> set[str]:
        """The projects that there is something to say of: the testbed's own, those made, and those with resources."""
        with self.reading() as store:
            return {str(store.general.get("project", "")), *store.resources.projects()}

    def resolve(self, kind: str, body: Json, known: Defaults) -> Json:
        """A body whose references and names are complete; it is one that packets know by now.

        Raises:
            InvalidResource: it is not valid.
        """
        if kind not in KINDS:
            return body
        try:
            resource = KINDS[kind].model.model_validate(body, context=known._replace(lenient=True))
        except ValidationError as error:
            raise _invalid(error, KINDS[kind].model) from None
        result = copy.deepcopy(body)
        for found in annotated(resource, Reference):
            _set(result, found.path, self.with_id(found.value))
        if isinstance(resource, ComputeResource):
            result["selfLink"] = resource.self_link
        elif isinstance(resource, NamedResource):
            result["name"] = resource.name
        return result

    def submit(self, operation: Operation) -> Operation:
        """Accept an operation; its changes have been resolved.  Call it inside a `transaction`.

        The same request again (`requestId`) is the same operation.

        Raises:
            AlreadyExists, NotFound, FailedPrecondition, InvalidArgument: what there would be then cannot be.
        """
        if operation.request and (known := self.store.operations.of_request(operation.request)):
            return known
        operation, delay = self._with_faults(operation)
        changes = tuple(self._begun(change, operation) for change in operation.changes)
        accepted = self.store.operations.add(replace(operation, changes=changes), delay=delay)
        self._write(accepted)
        self._check(accepted)
        self._accepted = True
        return accepted

    def refuse(self, method: str, resource: str) -> None:
        """Refuse a call that a fault is waiting for.

        Raises:
            TestbedError: what the fault says.
        """
        with self.reading() as store:
            if not store.faults.all():
                return
        with self.transaction():
            fault = self.store.faults.take(method, resource, refuses=True)
        if fault is not None:
            raise fault.error(method)

    def release(self) -> None:
        """Let operations take effect that a fault has held up."""
        with self.transaction():
            release(self.store)
        self._wake()

    def advance_clock(self, seconds: float) -> None:
        """Put the testbed's clock forward, and let go on what has waited for it.

        Raises:
            InvalidArgument: by nothing, back, or by more than a year.
        """
        with self.transaction():
            self.store.clock.advance(seconds)
            self.store.events.add("clock", "the clock", f"was put forward by {seconds:g} s", seconds=seconds)
        self._wake()

    def set_facts(self, kind: str, name: str, facts: Json) -> None:
        """Write down what the server says of a resource, without an operation."""
        with self.transaction():
            self.store.resources.put(replace(self.get(kind, name), facts=facts))

    def keep(self, record: Record) -> Record:
        """Write a resource that packets know nothing of, without an operation."""
        with self.transaction():
            return self.store.resources.put(record)

    def drop(self, kind: str, name: str) -> None:
        """Remove a resource that packets know nothing of, without an operation."""
        with self.transaction():
            self.store.resources.remove(kind, name)

    def phase(self, record: Record) -> Phase:
        """What an operation that is under way does to a resource."""
        with self.reading() as store:
            operation = store.operations.get(record.pending) if record.pending else None
        change = next((c for c in operation.changes if c.name == record.name), None) if operation else None
        if change is None:
            return ""
        return "DELETING" if change.body is None else "CREATING" if change.creates else "UPDATING"

    def _begun(self, change: ResourceChange, operation: Operation) -> ResourceChange:
        """A change, with what it goes back to if it fails.

        Raises:
            NotFound: what is to be deleted is not there.
            FailedPrecondition, Aborted: an operation is under way on it, or on something new that it needs.
        """
        record = self.store.resources.get(change.kind, change.name)
        if change.body is None and record is None:
            raise NotFound(GoogleText(f"The resource '{change.name}' was not found"), reason="notFound")
        if record is not None and record.pending:
            raise busy(record)
        if change.body is not None and change.kind.startswith("compute.") and change.kind in KINDS:
            together = {other.name for other in operation.changes}
            for found in annotated(model(change.kind, change.body, self.store.general), Reference):
                kind = f"compute.{found.mark.collection.rpartition('/')[2]}"
                needed = self.store.resources.get(kind, found.value) if found.mark.required else None
                if needed is not None and needed.name not in together and self.phase(needed) == "CREATING":
                    raise busy(needed)
        if record is None:
            return change
        kept = None if record.error else record.body  # of what packets know nothing of, none is in effect
        return replace(change, previous=kept if record.effective is None else record.effective)

    def _with_faults(self, operation: Operation) -> tuple[Operation, float]:
        """The operation as it is to go, with the fault that waits for it, and after how many seconds."""
        delay = self.store.operation_delay * duration(operation.method)
        fault = self.store.faults.take(operation.method, operation.target, refuses=False)
        if fault is None:
            return operation, delay
        if fault.kind == "stuck":
            return replace(operation, facts={**operation.facts, STUCK: True}), FOR_EVER
        if fault.kind != "leftover-rule":
            return replace(operation, facts={**operation.facts, "fails": fault.status()}), delay
        topology = topology_of(self.store)
        left = [
            leftover(c, topology.connector_network(c))
            for c in topology.vpcaccess.connectors
            if c.name == operation.target
        ]
        return replace(operation, changes=(*operation.changes, *left)), delay

    def _write(self, operation: Operation) -> None:
        for change in operation.changes:
            record = self.store.resources.get(change.kind, change.name) or Record(change.kind, change.name, {})
            if change.body is None:
                record = replace(record, deleting=True, pending=operation.id)
            else:
                record = replace(record, body=change.body, pending=operation.id, error=None)
            self.store.resources.put(record)

    def _check(self, operation: Operation) -> None:
        """Refuse what would leave resources that do not fit together."""
        if not any(change.kind in KINDS for change in operation.changes):
            return
        general = self.store.general
        try:
            changed = {(change.kind, change.name) for change in operation.changes}
            # What changes comes last: of two resources that do not fit together, that one is at fault.
            asked = sorted(self.store.resources.asked(general), key=lambda one: one[:2] in changed)
            consistency.check(assemble(general, ((kind, resource) for kind, _, resource in asked)))
        except ValidationError as error:
            raise _invalid(error, Topology) from None
        except Inconsistent as error:
            deleted = {change.name for change in operation.changes if change.body is None}
            raise _refusal(error.problems[0], deleted, lambda path: _at(asked, path)) from None

    # -- waiting --------------------------------------------------------------------------------------------------

    def when_done(self, name: str) -> Future[None]:
        """A future that is done when an operation is; a caller that no longer waits cancels it."""
        future = self._waiting.add(name)  # first, lest it ends in between
        with self.reading() as store:
            operation = store.operations.get(name)
        if operation is None or operation.done:
            self._waiting.tell(name)
        return future

    def ended(self, name: str) -> None:
        """Tell those who wait for an operation; the executor calls it when it has written the end down."""
        self._waiting.tell(name)


def release(store: Store) -> None:
    """The same, where nobody has to be woken."""
    store.operations.hurry(one for one in store.operations.open() if one.facts.get(STUCK))


def busy(record: Record) -> TestbedError:
    """What a call on a resource is refused with while an operation on it is under way.

    Compute Engine's text is its own; that of the other APIs that take one operation at a time is recalled.
    """
    if record.kind.startswith("compute."):
        return not_ready(record)
    if record.kind.startswith(_ONE_AT_A_TIME):
        return Aborted(_UNQUEUED, reason="aborted")
    return Busy(record.pending)


def not_ready(record: Record) -> FailedPrecondition:
    """What Compute Engine says of a resource that cannot take a call now."""
    return FailedPrecondition(GoogleText(f"The resource '{record.name}' is not ready"), reason="resourceNotReady")


def topology_of(store: Store) -> Topology:
    """The topology in effect.

    Raises:
        TestbedError: the resources in effect do not fit together.
    """
    version = store.version
    if store.kept is not None and version is not None and store.kept[0] == version:
        return store.kept[1]
    try:
        topology = store.resources.effective(store.general)
        consistency.check(topology)
    except ValidationError as error:
        raise _invalid(error, Topology) from None
    except Inconsistent as error:
        raise _refusal(error.problems[0]) from None
    store.kept = (version, topology) if version is not None else None
    return topology


def _at(asked: Sequence[tuple[str, str, Resource]], path: Path) -> str:
    """The full name of the resource that a path in the assembled topology lies in."""
    names = [name for kind, name, _ in asked if kind == ".".join(map(str, path[:2]))]
    index = path[2] if len(path) > 2 and isinstance(path[2], int) else 0
    return names[index] if index < len(names) else ""


def _invalid(error: ValidationError, of: type[Resource]) -> InvalidResource:
    """The first fault of a resource by itself, as Google refuses it."""
    return InvalidResource(*faults(error, of)[0])


def _refusal(
    problem: Problem, deleted: set[str] | None = None, owner: Callable[[Path], str] = lambda _: ""
) -> TestbedError:
    """What is wrong with resources together, as Google refuses it."""
    if problem.status == "NOT_FOUND" and problem.value in (deleted or ()):
        collection = str(problem.value).split("/")[-2].removesuffix("s")
        return FailedPrecondition(
            GoogleText(f"The {collection} resource '{problem.value}' is already being used by '{owner(problem.path)}'"),
            reason=IN_USE,
        )
    if problem.status == "NOT_FOUND":
        return NotFound(problem.message, reason="notFound")
    if problem.status == "ALREADY_EXISTS":
        return AlreadyExists(problem.message, reason="alreadyExists")
    if problem.value is None:
        return InvalidArgument(problem.message)
    return InvalidResource(problem.path[3:], problem.value, problem.message)


def _set(body: Any, path: Path, value: str) -> None:
    """Put a value where a path leads."""
    *way, end = path
    for part in way:
        body = body[part]
    body[end] = value
