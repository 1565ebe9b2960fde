"""Carries out what was accepted: brings resources into effect, and says when that is done.

Operations take effect in the order in which they were accepted, several at once where several wait.  If one of them
cannot be carried out, they are tried one by one, so that only the one at fault fails.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from testbed.control import connectors
from testbed.control.operations import Change, Operation
from testbed.control.plane import topology_of
from testbed.control.reconciler import Reconciler
from testbed.control.resources import Json, Record
from testbed.control.store import Store
from testbed.errors import Internal, TestbedError

log = logging.getLogger("testbed.executor")

CONNECTORS = "vpcaccess.connectors"
LEFT_IN_ERROR = frozenset({CONNECTORS, "run.services", "cloudfunctions.functions"})
"""Kinds of which a failed create leaves a resource behind (behaviour 1.7.7)."""
CODES = {
    "INVALID_ARGUMENT": 3, "DEADLINE_EXCEEDED": 4, "NOT_FOUND": 5, "ALREADY_EXISTS": 6, "PERMISSION_DENIED": 7,
    "RESOURCE_EXHAUSTED": 8, "FAILED_PRECONDITION": 9, "ABORTED": 10, "UNIMPLEMENTED": 12, "INTERNAL": 13,
    "UNAVAILABLE": 14, "UNAUTHENTICATED": 16,
}  # fmt: skip
"""Numbers of `google.rpc.Code`."""


class Executor:
    """Carries out the operations of one testbed; `ended` is told the id of each that is over."""

    def __init__(self, ended: Callable[[str], None] = lambda _: None) -> None:
        self._ended = ended

    def round(self, store: Store, reconciler: Reconciler) -> None:
        """Take up what is due, and end what has settled.  The caller has the testbed's lock."""
        open_ones = store.operations.open()
        if not open_ones:
            return
        now = time.time()
        due = [one for one in open_ones if one.state == "queued" and one.due <= now]
        if due:
            self._carry_out(store, reconciler, due)
        for one in store.operations.open():
            if one.state == "settling":
                self._look(store, reconciler, one)

    def next_due(self, store: Store) -> float | None:
        """When the next operation is due, in seconds since 1970."""
        return min((one.due for one in store.operations.open() if one.state == "queued"), default=None)

    def _carry_out(self, store: Store, reconciler: Reconciler, due: Sequence[Operation]) -> None:
        with store.transaction():
            before = [_put_into_effect(store, one) for one in due]
        try:
            for one in due:
                _foreseen(one)
            reconciler.advance(topology_of(store))
        except Exception as error:  # noqa: BLE001 - a boundary: whatever went wrong is the operation's error
            with store.transaction():
                for kept in reversed(before):
                    _restore(store, kept)
            self._after_failure(store, reconciler, due, error)
            return
        store.operations.settle(due)

    def _after_failure(self, store: Store, reconciler: Reconciler, due: Sequence[Operation], error: Exception) -> None:
        if len(due) > 1:
            for one in due:
                self._carry_out(store, reconciler, [one])
            return
        log.warning("%s of %s failed: %s", due[0].method, due[0].target, error, exc_info=not _expected(error))
        known = error if isinstance(error, TestbedError) else Internal(f"{type(error).__name__}: {error}")
        self._fail(store, due[0], _status_of(due[0], known))
        self._mend(store, reconciler)

    def _look(self, store: Store, reconciler: Reconciler, operation: Operation) -> None:
        """End an operation whose effect is there."""
        error = _connectors_failure(store, operation)
        if error is WAITING:
            return
        if error:
            self._fail(store, operation, error)
            self._mend(store, reconciler)
            return
        with store.transaction():
            for change in operation.changes:
                record = store.resources.get(change.kind, change.name)
                if change.body is None:
                    store.resources.remove(change.kind, change.name)
                elif record is not None and record.pending == operation.id:
                    store.resources.put(replace(record, pending=""))
            store.operations.end(operation)
        self._ended(operation.id)

    def _fail(self, store: Store, operation: Operation, error: Json) -> None:
        """Leave everything as it was before, but for what Google leaves behind in error."""
        with store.transaction():
            for change in operation.changes:
                record = store.resources.get(change.kind, change.name)
                if record is None or record.pending != operation.id:
                    continue
                if record.effective is None or _is_new(store, change):
                    if change.kind in LEFT_IN_ERROR:
                        store.resources.put(replace(record, effective=None, pending="", error=error))
                    else:
                        store.resources.remove(change.kind, change.name)
                else:
                    store.resources.put(replace(record, body=record.effective, pending="", deleting=False))
            store.operations.end(operation, error)
        self._ended(operation.id)

    def _mend(self, store: Store, reconciler: Reconciler) -> None:
        """Make nodes and kernel what is in effect, after a failure."""
        try:
            reconciler.advance(topology_of(store))
        except TestbedError as error:
            log.warning("after a failure: %s", error.message)


class Foreseen(TestbedError):  # noqa: N818 - as testbed.errors
    """An operation that is to fail, as was known when it was accepted."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def _foreseen(operation: Operation) -> None:
    if fails := operation.facts.get("fails"):
        raise Foreseen(fails["code"], fails["message"])


def _status_of(operation: Operation, error: TestbedError) -> Json:
    """An error as a `google.rpc.Status`."""
    if isinstance(error, Foreseen):
        return {"code": error.code, "message": error.message}
    message = connectors.refusal(error) if operation.kind == CONNECTORS else error.message
    return {"code": CODES.get(error.status, 2), "message": message}


def _expected(error: Exception) -> bool:
    return isinstance(error, TestbedError) and not isinstance(error, Internal)


WAITING: Json = {"waiting": True}
"""What `_connectors_failure` says while it cannot tell."""


def _connectors_failure(store: Store, operation: Operation) -> Json | None:
    """Whether a connector's instances have come up (behaviour 1.7.5); nothing else takes its time to settle."""
    changed = [c.name for c in operation.changes if c.kind == CONNECTORS and c.body is not None]
    for name in changed:
        mine = [instance for instance in store.instances if instance.connector == name]
        if all(instance.health == "healthy" for instance in mine):
            store.set_connector_state(name, "READY")
        elif time.time() - (operation.applied or 0) < connectors.PATIENCE:
            return WAITING
        elif not any(instance.health == "healthy" for instance in mine):
            store.forget_connectors([name])
            return {"code": CODES["INTERNAL"], "message": connectors.HEALTH_FAILURE}
    return None


def _is_new(store: Store, change: Change) -> bool:
    """Whether a change is the making of its resource: no other body of it was ever in effect."""
    record = store.resources.get(change.kind, change.name)
    return record is not None and record.generation == 1


def _put_into_effect(store: Store, operation: Operation) -> list[Record]:
    """Bring the changes of an operation into the effective topology; returns the records as they were."""
    before: list[Record] = []
    for change in operation.changes:
        record = store.resources.get(change.kind, change.name)
        if record is not None:
            before.append(record)
            store.resources.put(replace(record, effective=change.body))
    return before


def _restore(store: Store, before: Sequence[Record]) -> None:
    for record in before:
        now = store.resources.get(record.kind, record.name)
        if now is not None:
            store.resources.put(replace(now, effective=record.effective))
