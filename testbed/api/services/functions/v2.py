"""Cloud Functions v2: functions of both generations (behaviour 3.1)."""

from __future__ import annotations

from testbed.api.calls.call import PRINTERS, Answer, Call, serves
from testbed.api.calls.clock import timestamp
from testbed.api.calls.longrunning import LongRunning, common_metadata
from testbed.api.contract import filters, masks
from testbed.api.contract.discovery import document
from testbed.api.services import iampolicy, located
from testbed.api.services.functions import records
from testbed.api.services.functions.records import KIND
from testbed.api.services.functions.translation import DEFAULT_MEMORY, cpus_for
from testbed.control.accept.plane import ControlPlane
from testbed.control.state.operations import Operation, ResourceChange
from testbed.control.state.resources import Record
from testbed.errors import GoogleText, InvalidArgument
from testbed.json_object import Json
from testbed.model.core.projects import app_engine_account, compute_account
from testbed.model.core.resource import segment
from testbed.nodes.packages.requirements import PYTHON, RUNTIMES

API = "cloudfunctions.v2"
_FIELDS = document(API).schemas["Function"]["properties"]
TYPES = {"create": "CREATE_FUNCTION", "patch": "UPDATE_FUNCTION", "delete": "DELETE_FUNCTION"}


def _fetch(call: Call) -> None:
    records.fetch(call.plane, call.body)


@serves(API, "projects.locations.functions.create", before=_fetch)
def create(call: Call) -> Answer:
    """Accept a function; that it cannot be built or cannot use its connector is the operation's to find out."""
    parent = call.text("parent")
    located.region_of(parent)
    name = located.unused(call, KIND, records.name_in(parent, call.text("functionId")))
    return records.deploy(call, name, {"environment": "GEN_2", **call.body})


@serves(API, "projects.locations.functions.patch", before=_fetch)
def patch(call: Call) -> Answer:
    """Change a function."""
    record = located.found(call, KIND)
    body = masks.apply(
        records.asked(record.body),
        call.body,
        masks.paths(call.text("updateMask")),
        known=lambda path: path.partition(".")[0] in _FIELDS,
        output_only=("name",),
    )
    if body.get("environment") != records.asked(record.body)["environment"]:
        raise InvalidArgument(GoogleText("Function already exists, can't change the environment."))
    return records.deploy(call, record.name, body)


@serves(API, "projects.locations.functions.delete")
def delete(call: Call) -> Answer:
    """Delete a function."""
    record = located.found(call, KIND)
    accepted = call.plane.submit(call.operation(KIND, record.name, changes=(ResourceChange(KIND, record.name, None),)))
    call.plane.drop(iampolicy.KIND, record.name)
    return accepted


@serves(API, "projects.locations.functions.get")
def get(call: Call) -> Json:
    """One function."""
    return view(call.plane, located.found(call, KIND))


@serves(API, "projects.locations.functions.list")
def list_(call: Call) -> Json:
    """The functions of a region, or (`-`) of all."""
    return located.listed(call, KIND, "functions", lambda record: view(call.plane, record))


@serves(API, "projects.locations.runtimes.list")
def runtimes(call: Call) -> Json:
    """What can be run: Python, whatever its version by the one that the runtime's image has."""
    wanted = filters.aip160(call.text("filter"))
    known = f"python{PYTHON.replace('.', '')}"
    found: list[Json] = [
        {
            "name": name,
            "displayName": f"Python 3.{name.removeprefix('python3')}",
            "stage": "GA",
            "environment": environment,
            **({} if name == known else {"warnings": [records.NOTE]}),
        }
        for environment in ("GEN_1", "GEN_2")
        for name in RUNTIMES
    ]
    return {"runtimes": [runtime for runtime in found if wanted(runtime)]}


def state_of(record: Record) -> str:
    """The state of a function."""
    if record.pending:
        return "DELETING" if record.deleting else "DEPLOYING"
    return "FAILED" if record.error else "ACTIVE"


def url(record: Record) -> str:
    """Where the front end serves a function."""
    place, project = segment(record.name, "locations"), segment(record.name, "projects")
    return f"https://{place}-{project}.cloudfunctions.net/{record.id}"


def view(plane: ControlPlane, record: Record) -> Json:
    """A function as v2 prints it."""
    del plane
    body = records.asked(record.body)
    second = body["environment"] == "GEN_2"
    if storage := body["buildConfig"]["source"].get("storageSource"):
        body["buildConfig"]["sourceProvenance"] = {"resolvedStorageSource": storage}
    body["buildConfig"].setdefault("dockerRegistry", "ARTIFACT_REGISTRY")
    config = {
        "timeoutSeconds": 60,
        "availableMemory": DEFAULT_MEMORY,
        "ingressSettings": "ALLOW_ALL",
        "maxInstanceCount": 100,
        "allTrafficOnLatestRevision": True,
        "serviceAccountEmail": _account(record, second=second),
        **body.get("serviceConfig", {}),
    }
    if "vpcConnector" in config:
        config.setdefault("vpcConnectorEgressSettings", "PRIVATE_RANGES_ONLY")
    if "directVpcNetworkInterface" in config:
        config.setdefault("directVpcEgress", "VPC_EGRESS_PRIVATE_RANGES_ONLY")
    if second:
        config.setdefault("maxInstanceRequestConcurrency", 1)
        config.setdefault("availableCpu", cpus_for(config["availableMemory"]))
        config |= {
            "service": record.name.replace("/functions/", "/services/"),
            "uri": url(record),
            "revision": f"{record.id}-00001",
        }
    result = {
        **body,
        "name": record.name,
        "serviceConfig": config,
        "state": state_of(record),
        "url": url(record),
        "createTime": timestamp(record.created),
        "updateTime": timestamp(record.updated),
    }
    if record.error:
        result["stateMessages"] = [
            {"severity": "ERROR", "type": "DeploymentFailed", "message": record.error["message"]}
        ]
    return result


def _account(record: Record, *, second: bool) -> str:
    project = segment(record.name, "projects")
    return compute_account(project) if second else app_engine_account(project)


def _metadata(operation: Operation) -> Json:
    """`OperationMetadata`; what is built and made at Google in stages is one here."""
    action = operation.method.rpartition(".")[2]
    result = {**common_metadata(operation), "operationType": TYPES[action]}
    if action != "delete":
        state = "COMPLETE" if operation.done else "IN_PROGRESS"
        result["stages"] = [{"name": "SERVICE", "state": state}]
    return result


PRINTERS[API] = LongRunning(
    metadata_type="google.cloud.functions.v2.OperationMetadata",
    metadata=_metadata,
    response_type="google.cloud.functions.v2.Function",
    view=view,
)
