"""What Cloud DNS answers a call whose change takes effect in the name server: the thing itself, not an operation."""

from __future__ import annotations

from testbed.api.calls.call import PRINTERS
from testbed.api.services.dns import changes, zones
from testbed.api.services.dns.base import API, CHANGES, OPERATIONS
from testbed.control.accept.plane import ControlPlane
from testbed.control.state.operations import Operation
from testbed.errors import Unavailable
from testbed.json_object import Json


def printed(plane: ControlPlane, operation: Operation) -> Json:
    """The answer.

    Raises:
        Unavailable: the name server could not be made to answer so; what was asked for is taken back.
    """
    if operation.error is not None:
        raise Unavailable(str(operation.error["message"]))
    collection, verb = operation.method.split(".")[1:]
    if verb == "delete":
        return {}
    if collection == "resourceRecordSets":
        return dict(operation.facts[changes.SHOWN])
    record = plane.get(operation.kind, operation.target)
    if operation.kind == CHANGES:
        return changes.view(plane, record)
    return zones.shown(plane, record) if operation.kind == OPERATIONS else zones.view(record)


PRINTERS.update(dict.fromkeys(API.split(), printed))
