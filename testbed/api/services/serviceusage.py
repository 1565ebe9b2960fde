"""Service Usage v1: which APIs a project may call.

At first a project may call those that the testbed serves (our choice).  What else Google has can be enabled as well,
so that set-up scripts run; it has no effect, for there is nobody to answer.
"""

from __future__ import annotations

from collections.abc import Callable

from testbed.api.calls.admission import KIND, known_services, state_of
from testbed.api.calls.call import PRINTERS, Answer, Call, serves
from testbed.api.calls.longrunning import LongRunning
from testbed.api.contract import filters, listing
from testbed.api.services.operations import NOOP
from testbed.control.accept.plane import ControlPlane
from testbed.control.state.operations import Operation, ResourceChange
from testbed.control.state.resources import Record
from testbed.errors import GoogleText, InvalidArgument, PermissionDenied
from testbed.json_object import Json
from testbed.model.core.projects import project_number
from testbed.model.core.resource import last

API = "serviceusage.v1 serviceusage.v1beta1"
MOST = 20
"""Services that one batchEnable takes, by its description."""
_TYPE = "type.googleapis.com/google.api.serviceusage.v1"


@serves(API, "services.get")
def get(call: Call) -> Json:
    """One service, enabled or not."""
    return _view(call, last(_existing(call.text("name"))))


@serves(API, "services.list")
def list_(call: Call) -> Json:
    """Every service that a project could enable."""
    page = listing.page(
        [_view(call, name) for name in known_services()],
        size=call.number("pageSize"),
        token=call.text("pageToken"),
        predicate=filters.aip160(call.text("filter")),
        maximum=200,
        collection=call.text("parent"),
    )
    return page.answer("services")


@serves(API, "services.batchGet")
def batch_get(call: Call) -> Json:
    """Several services of one project."""
    return {"services": [_view(call, last(_existing(name))) for name in call.repeated.get("names", ())]}


@serves(API, "services.enable", "services.disable")
def change(call: Call) -> Answer:
    """Enable or disable one service."""
    name, verb = last(_existing(call.text("name"))), call.method.action
    response = f"{verb.capitalize()}ServiceResponse"
    return _changed(call, [name], lambda views: {"@type": f"{_TYPE}.{response}", "service": views[0]})


@serves(API, "services.batchEnable")
def batch_enable(call: Call) -> Answer:
    """Enable several services."""
    names = list(dict.fromkeys(call.body.get("serviceIds", ())))
    if not 0 < len(names) <= MOST:
        raise InvalidArgument(f"request: it must name 1 to {MOST} services, not {len(names)}")
    for name in names:
        _existing(name)
    return _changed(call, names, lambda views: {"@type": f"{_TYPE}.BatchEnableServicesResponse", "services": views})


def _changed(call: Call, names: list[str], response: Callable[[list[Json]], Json]) -> Answer:
    """Accept new states; what is so already is an operation that is done, and has Google's name for that."""
    state = "DISABLED" if call.method.action == "disable" else "ENABLED"
    project = _project(call)
    result = response([_view(call, name, state) for name in names])
    wanted = [name for name in names if state_of(call.plane, project, name) != state]
    if not wanted:
        return {"name": NOOP, "done": True, "response": result}
    changes = tuple(ResourceChange(KIND, f"projects/{project}/services/{name}", {"state": state}) for name in wanted)
    return call.plane.submit(call.operation(KIND, changes[0].name, changes=changes, result=result))


def _existing(name: str) -> str:
    """The name of a service that there is.

    Raises:
        PermissionDenied: Google has none of that name.
    """
    if last(name) not in known_services():
        reason = "SERVICE_CONFIG_NOT_FOUND_OR_PERMISSION_DENIED"
        raise PermissionDenied(
            GoogleText(f"Not found or permission denied for service(s): {last(name)}."), reason=reason
        )
    return name


def _project(call: Call) -> str:
    """The project that a call is about."""
    return (call.text("name") or call.text("parent")).split("/")[1]


def _view(call: Call, name: str, state: str | None = None) -> Json:
    project = _project(call)
    parent = f"projects/{project_number(project)}"
    return {
        "name": f"{parent}/services/{name}",
        "parent": parent,
        "config": {"name": name, "title": known_services()[name]},
        "state": state or state_of(call.plane, project, name),
    }


def _metadata(operation: Operation) -> Json:
    project = project_number(operation.target.split("/")[1])
    return {"resourceNames": [f"projects/{project}/services/{last(c.name)}" for c in operation.changes]}


def _printed(_: ControlPlane, __: Record) -> Json:
    return {}  # the response of each operation is known when it is accepted


_OPERATIONS = LongRunning(
    metadata_type="google.api.serviceusage.v1.OperationMetadata",
    metadata=_metadata,
    response_type="google.api.serviceusage.v1.Service",
    view=_printed,
    parent=lambda _: "",
)
PRINTERS.update(dict.fromkeys(API.split(), _OPERATIONS))
