"""Network Management v1: Connectivity Tests (behaviour 7.1).

They are kept; nobody analyses the configuration yet, and every test says so instead of a result.
"""

from __future__ import annotations

import re

from testbed.api.calls.call import PRINTERS, Answer, Call, serves
from testbed.api.calls.clock import timestamp
from testbed.api.calls.longrunning import LongRunning, common_metadata
from testbed.api.contract import masks
from testbed.api.contract.discovery import document
from testbed.api.contract.schema import is_output
from testbed.api.services import iampolicy, located
from testbed.control.accept.plane import ControlPlane
from testbed.control.state.operations import ResourceChange
from testbed.control.state.resources import Record
from testbed.errors import InvalidArgument
from testbed.json_object import Json
from testbed.model.core.resource import last

API = "networkmanagement.v1"
KIND = "networkmanagement.connectivityTests"
PROTOCOLS = frozenset({"TCP", "UDP", "ICMP", "ESP", "AH", "SCTP", "IPIP", "GRE"})
NOT_ANALYSED: Json = {
    "result": "UNDETERMINED",
    "error": {"code": 12, "message": "connectivity test: the testbed does not analyse configurations yet"},
}
"""The code is UNIMPLEMENTED."""
_COLLECTION = "projects.locations.global.connectivityTests"
_ID = re.compile(r"[a-z][-a-z0-9]{0,38}[a-z0-9]|[a-z]")


@serves(API, f"{_COLLECTION}.create")
def create(call: Call) -> Answer:
    """Make a test."""
    given = call.text("testId")
    if not _ID.fullmatch(given):
        raise InvalidArgument(
            f"test_id '{given}': must have 1-40 lower-case letters, digits and hyphens."
            " It must begin with a letter and end with a letter or a digit"
        )
    return _submit(call, located.unused(call, KIND, f"{call.text('parent')}/connectivityTests/{given}"), call.body)


@serves(API, f"{_COLLECTION}.patch")
def patch(call: Call) -> Answer:
    """Change a test."""
    record = located.found(call, KIND)
    mask = masks.paths(call.text("updateMask"))
    if not mask:
        raise InvalidArgument("update_mask: must have at least one path")
    fields = document(API).schemas["ConnectivityTest"]["properties"]
    known = {name for name, schema in fields.items() if name != "name" and not is_output(schema)}
    body = masks.apply(record.body, call.body, mask, known=lambda path: path.split(".")[0] in known)
    return _submit(call, record.name, body)


@serves(API, f"{_COLLECTION}.rerun")
def rerun(call: Call) -> Answer:
    """Run a test once more, which changes nothing as yet."""
    record = located.found(call, KIND)
    return _submit(call, record.name, record.body)


@serves(API, f"{_COLLECTION}.delete")
def delete(call: Call) -> Answer:
    """Delete a test."""
    record = located.found(call, KIND)
    return call.plane.submit(call.operation(KIND, record.name, changes=(ResourceChange(KIND, record.name, None),)))


@serves(API, f"{_COLLECTION}.get")
def get(call: Call) -> Json:
    """One test."""
    return view(call.plane, located.found(call, KIND))


@serves(API, f"{_COLLECTION}.list")
def list_(call: Call) -> Json:
    """The tests of a project."""
    return located.listed(call, KIND, "resources", lambda record: view(call.plane, record))


@serves(API, "projects.locations.list")
def locations(call: Call) -> Json:
    """The one location that there is."""
    return {"locations": [{"name": f"{call.text('name')}/locations/global", "locationId": "global"}]}


def view(_: ControlPlane, record: Record) -> Json:
    """A test as the API prints it."""
    shown: Json = {
        "protocol": "TCP",
        **record.body,
        "name": record.name,
        "displayName": last(record.name),
        "createTime": timestamp(record.created),
        "updateTime": timestamp(record.updated or record.created),
        "reachabilityDetails": NOT_ANALYSED,
    }
    return {**shown, "returnReachabilityDetails": NOT_ANALYSED} if record.body.get("roundTrip") else shown


def _submit(call: Call, name: str, body: Json) -> Answer:
    """Accept a test.

    Raises:
        InvalidArgument: it lacks an end, or has a protocol that there is not.
    """
    for end in ("source", "destination"):
        if not body.get(end):
            raise InvalidArgument(f"{end}: must be given")
    if (protocol := body.get("protocol", "TCP")) not in PROTOCOLS:
        raise InvalidArgument(f"protocol '{protocol}': must be one of {', '.join(sorted(PROTOCOLS))}")
    kept = {**body, "name": name}
    return call.plane.submit(call.operation(KIND, name, changes=(ResourceChange(KIND, name, kept),)))


PRINTERS[API] = LongRunning(
    metadata_type="google.cloud.networkmanagement.v1.OperationMetadata",
    metadata=common_metadata,
    response_type="google.cloud.networkmanagement.v1.ConnectivityTest",
    view=view,
)
iampolicy.register(API, _COLLECTION, lambda call: located.named(call, KIND, call.text("resource")).name)
