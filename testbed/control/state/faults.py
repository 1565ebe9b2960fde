"""Faults on demand: what the next calls are to meet, for tests of the caller's error handling.

A fault stands in the testbed's store until it has struck as often as it was to, or is cleared.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any, Literal, get_args

from testbed import errors
from testbed.control import connectors
from testbed.control.state.operations import ResourceChange
from testbed.errors import InvalidArgument, NotFound, TestbedError
from testbed.json_object import Json
from testbed.model.core.resource import last
from testbed.model.managed_rules import for_connector
from testbed.model.serverless.connector import Connector

SCHEMA = """
    CREATE TABLE IF NOT EXISTS faults (
        number INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, method TEXT NOT NULL, resource TEXT NOT NULL,
        left INTEGER NOT NULL, code TEXT NOT NULL, message TEXT NOT NULL);
"""
Kind = Literal["error", "quota", "failure", "unhealthy", "stuck", "leftover-rule"]
CREATES = "*.create *.insert"
_CONNECTORS = "vpcaccess.projects.locations.connectors"
_ERRORS: Mapping[str, type[TestbedError]] = {
    one.status: one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, TestbedError)
}


@dataclass(frozen=True, slots=True)
class Fault:
    """What is to go wrong, and with which calls."""

    kind: Kind
    method: str = CREATES
    """Patterns of method ids, any of which has to fit: `connectors.create`, `compute.*.insert`, `*`."""
    resource: str = "*"
    """A pattern of the resource's full name, or of the last part of it."""
    left: int = 1
    """How often it strikes; 0: until it is cleared."""
    code: str = "INTERNAL"
    """The name of a `google.rpc.Code`."""
    message: str = ""
    number: int = 0

    def refuses(self, method: str) -> bool:
        """Whether the call itself is refused; else it is accepted, and its operation meets the fault."""
        return self.kind == "error" or (self.kind == "quota" and not method.startswith("vpcaccess."))

    def fits(self, method: str, resource: str) -> bool:
        """Whether a call is meant."""
        methods = [pattern for word in self.method.split() for pattern in (word, f"*.{word}")]
        return any(fnmatchcase(method, pattern) for pattern in methods) and any(
            fnmatchcase(name, self.resource) for name in (resource, last(resource))
        )

    def error(self, method: str) -> TestbedError:
        """What the call is refused with."""
        if self.kind != "quota":
            return _ERRORS[self.code](self.message)
        api, *_, collection, _ = method.split(".")
        if api == "compute":
            text = self.message or f"Quota '{collection.upper()}' exceeded.  Limit: 0.0 globally."
            return errors.ResourceExhausted(text, reason="quotaExceeded")
        text = self.message or f"Quota exceeded for quota metric 'Requests' of service '{api}.googleapis.com'."
        return errors.ResourceExhausted(text)

    def status(self) -> Json:
        """What the operation fails with: a `google.rpc.Status`."""
        if self.kind == "quota":
            return {"code": errors.CODES["FAILED_PRECONDITION"], "message": self.message or CPU_QUOTA}
        return {"code": errors.CODES[self.code], "message": self.message}


CPU_QUOTA = "Operation failed: Insufficient CPU quota in region."
"""What a connector's create ends with (code 9; a user's report: GoogleCloudPlatform/community issue 2387)."""
PRESETS: Mapping[str, Fault] = {
    "error": Fault("error", message="Internal error encountered."),
    "quota": Fault("quota", code="RESOURCE_EXHAUSTED"),
    "failure": Fault("failure", message="An internal error has occurred."),
    "unhealthy": Fault("unhealthy", f"{_CONNECTORS}.create", message=connectors.HEALTH_FAILURE),
    "stuck": Fault("stuck", f"{_CONNECTORS}.create"),
    "leftover-rule": Fault("leftover-rule", f"{_CONNECTORS}.delete"),
}
"""What each kind is unless more is said."""


def fault(kind: str, **given: Any) -> Fault:
    """A fault of a kind; what is not given (None) is the kind's own.

    Raises:
        InvalidArgument: there is no such kind or code, or it cannot strike so often.
    """
    if kind not in get_args(Kind):
        raise InvalidArgument(f"fault {kind!r}: not known (faults: {', '.join(get_args(Kind))})")
    made = replace(PRESETS[kind], **{name: value for name, value in given.items() if value is not None})
    if made.code not in _ERRORS:
        raise InvalidArgument(f"code {made.code!r}: not known (codes: {', '.join(sorted(_ERRORS))})")
    if made.left < 0:
        raise InvalidArgument(f"count {made.left}: must be 1 or more, or 0 for always")
    return made


def leftover(connector: Connector, network: str) -> ResourceChange:
    """The rule that stays behind when a connector is deleted; it keeps its network from being deleted (1.10.3)."""
    rule = next(r for r in for_connector(connector, network, "0.0.0.0/0") if r.name.endswith("-egrfw"))
    name = f"{network.removesuffix(f'networks/{last(network)}')}firewalls/{rule.name}"
    body = rule.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return ResourceChange("compute.firewalls", name, {**body, "selfLink": name})


class Faults:
    """The table of faults."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def add(self, fault: Fault) -> Fault:
        """Add a fault; it strikes after those that were added before."""
        values = (fault.kind, fault.method, fault.resource, fault.left, fault.code, fault.message)
        query = "INSERT INTO faults (kind, method, resource, left, code, message) VALUES (?, ?, ?, ?, ?, ?)"
        return replace(fault, number=self._db.execute(query, values).lastrowid or 0)

    def all(self) -> list[Fault]:
        """All faults that can still strike."""
        query = "SELECT kind, method, resource, left, code, message, number FROM faults ORDER BY number"
        return [Fault(*row) for row in self._db.execute(query)]

    def take(self, method: str, resource: str, *, refuses: bool) -> Fault | None:
        """The first fault that a call meets; it can strike once less now."""
        found = next((f for f in self.all() if f.refuses(method) == refuses and f.fits(method, resource)), None)
        if found is not None and found.left == 1:
            self.remove(found.number)
        elif found is not None and found.left:
            self._db.execute("UPDATE faults SET left = left - 1 WHERE number = ?", (found.number,))
        return found

    def remove(self, number: int | None = None) -> None:
        """Remove one fault, or all.

        Raises:
            NotFound: there is none of that number.
        """
        if number is None:
            self._db.execute("DELETE FROM faults")
        elif not self._db.execute("DELETE FROM faults WHERE number = ?", (number,)).rowcount:
            raise NotFound(f"fault {number}: not found")
