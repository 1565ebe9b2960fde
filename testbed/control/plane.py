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
from typing import Any

from pydantic import ValidationError

from testbed.control.operations import Operation
from testbed.control.resources import Json, Record
from testbed.control.store import Store
from testbed.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound, TestbedError
from testbed.model.base import Compute, Defaults, Named, Reference, Resource
from testbed.model.kinds import KINDS, assemble
from testbed.model.problem import Inconsistent, Problem
from testbed.model.topology import Topology
from testbed.model.walk import Path, annotated

IN_USE = "resourceInUseByAnotherResource"


class InvalidResource(InvalidArgument):
    """A resource that breaks a rule: where in it, with what value."""

    def __init__(self, path: Path, value: object, rule: str) -> None:
        super().__init__(rule)
        self.path = path
        self.value = value


class ControlPlane:
    """The resources and operations of one testbed, for calls from any thread."""

    def __init__(self, store: Store, *, wake: Callable[[], None] = lambda: None) -> None:
        self.store = store
        self._wake = wake
        self._lock = threading.RLock()
        self._waiting: dict[str, list[Future[None]]] = {}
        self.delay: Callable[[Operation], float] = lambda _: 0.0
        """How long an operation is to take at least, in seconds."""

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything inside sees one state, and is written together or not at all."""
        with self._lock, self.store.transaction():
            yield

    # -- reading --------------------------------------------------------------------------------------------------

    @property
    def general(self) -> Mapping[str, Any]:
        """Name and project of the testbed, and its default region and zone."""
        with self._lock:
            return self.store.general

    def find(self, kind: str, name: str) -> Record | None:
        """A resource, or None; one that is being deleted is still there."""
        with self._lock:
            return self.store.resources.get(kind, name)

    def get(self, kind: str, name: str) -> Record:
        """A resource.

        Raises:
            NotFound: there is none.
        """
        if record := self.find(kind, name):
            return record
        raise NotFound(f"The resource '{name}' was not found", reason="notFound")

    def list(self, kind: str, prefix: str = "") -> list[Record]:
        """The resources of a kind whose full names begin so, in the order of their making."""
        with self._lock:
            return self.store.resources.of(kind, prefix)

    def operation(self, name: str) -> Operation:
        """An operation by its id.

        Raises:
            NotFound: there is none.
        """
        with self._lock:
            if found := self.store.operations.get(name):
                return found
        raise NotFound(f"The resource '{name}' was not found", reason="notFound")

    def operations(self) -> Sequence[Operation]:
        """All operations, the oldest first."""
        with self._lock:
            return self.store.operations.all()

    # -- changing -------------------------------------------------------------------------------------------------

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
            raise _refusal(error) from None
        result = copy.deepcopy(body)
        for found in annotated(resource, Reference):
            _set(result, found.path, found.value)
        if isinstance(resource, Compute):
            result["selfLink"] = resource.self_link
        elif isinstance(resource, Named):
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
        accepted = self.store.operations.add(operation, delay=self.delay(operation))
        self._write(accepted)
        self._check(accepted)
        self._wake()
        return accepted

    def set_facts(self, kind: str, name: str, facts: Json) -> None:
        """Write down what the server says of a resource, without an operation."""
        with self._lock:
            self.store.resources.put(replace(self.get(kind, name), facts=facts))

    def keep(self, record: Record) -> Record:
        """Write a resource that packets know nothing of, without an operation."""
        with self._lock:
            return self.store.resources.put(record)

    def drop(self, kind: str, name: str) -> None:
        """Remove a resource that packets know nothing of, without an operation."""
        with self._lock:
            self.store.resources.remove(kind, name)

    def _write(self, operation: Operation) -> None:
        for change in operation.changes:
            record = self.store.resources.get(change.kind, change.name)
            if change.body is None:
                if record is None:
                    raise NotFound(f"The resource '{change.name}' was not found", reason="notFound")
                self.store.resources.put(replace(record, deleting=True, pending=operation.id))
            else:
                record = record or Record(change.kind, change.name, change.body)
                self.store.resources.put(
                    replace(record, body=change.body, pending=operation.id, deleting=False, error=None)
                )

    def _check(self, operation: Operation) -> None:
        """Refuse what would leave resources that do not fit together."""
        if not any(change.kind in KINDS for change in operation.changes):
            return
        general = self.store.general
        try:
            changed = {(change.kind, change.name) for change in operation.changes}
            # What changes comes last: of two resources that do not fit together, that one is at fault.
            asked = sorted(self.store.resources.asked(general), key=lambda one: one[:2] in changed)
            assemble(general, ((kind, resource) for kind, _, resource in asked))
        except ValidationError as error:
            deleted = {change.name for change in operation.changes if change.body is None}
            raise _refusal(error, deleted, lambda path: _at(asked, path)) from None

    # -- waiting --------------------------------------------------------------------------------------------------

    def when_done(self, name: str) -> Future[None]:
        """A future that is done when an operation is."""
        future: Future[None] = Future()
        with self._lock:
            if self.operation(name).done:
                future.set_result(None)
            else:
                self._waiting.setdefault(name, []).append(future)
        return future

    def ended(self, name: str) -> None:
        """Tell those who wait for an operation; the executor calls it when it has written the end down."""
        with self._lock:
            waiting = self._waiting.pop(name, [])
        for future in waiting:
            future.set_result(None)


def topology_of(store: Store) -> Topology:
    """The topology in effect.

    Raises:
        TestbedError: the resources in effect do not fit together.
    """
    try:
        return store.resources.effective(store.general)
    except ValidationError as error:
        raise _refusal(error) from None


def _at(asked: Sequence[tuple[str, str, Resource]], path: Path) -> str:
    """The full name of the resource that a path in the assembled topology lies in."""
    names = [name for kind, name, _ in asked if kind == ".".join(map(str, path[:2]))]
    index = path[2] if len(path) > 2 and isinstance(path[2], int) else 0
    return names[index] if index < len(names) else ""


def _refusal(
    error: ValidationError, deleted: set[str] | None = None, owner: Callable[[Path], str] = lambda _: ""
) -> TestbedError:
    """The first fault of a resource, or of what resources would be together, as Google refuses it."""
    first = error.errors(include_url=False)[0]
    cause = first.get("ctx", {}).get("error")
    if not isinstance(cause, Inconsistent):
        return InvalidResource(first["loc"], first["input"], first["msg"].removeprefix("Value error, "))
    problem: Problem = cause.problems[0]
    if problem.status == "NOT_FOUND" and problem.value in (deleted or ()):
        collection = str(problem.value).split("/")[-2].removesuffix("s")
        return FailedPrecondition(
            f"The {collection} resource '{problem.value}' is already being used by '{owner(problem.path)}'",
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
