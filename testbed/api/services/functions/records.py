"""Functions as the testbed keeps them, and how one is deployed: the same for both versions of the API.

What is kept is the body of v2 in which `buildConfig.source` is the folder that is run; where a client said that the
source is (`Source` of v2) stands beside it, as `buildConfig.origin`.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from pathlib import Path

from testbed.api.calls.call import Call
from testbed.api.services import direct, sources
from testbed.api.services.functions.translation import DEFAULT_MEMORY, mebibytes
from testbed.api.services.storage import transfers
from testbed.api.services.vpcaccess import state_of
from testbed.control.accept.plane import ControlPlane, InvalidResource
from testbed.control.lifecycle import CONNECTOR
from testbed.control.state.operations import Operation, ResourceChange
from testbed.errors import GoogleText, InvalidArgument
from testbed.json_object import Json
from testbed.model.core.names import COMPUTE_NAME
from testbed.model.core.resource import Defaults, last, segment
from testbed.model.serverless.functions import FunctionBuildConfig
from testbed.nodes.packages.requirements import PYTHON, RUNTIMES

KIND = "cloudfunctions.functions"
DEFAULT_RUNTIME = FunctionBuildConfig.model_fields["runtime"].default
"""Of a function in a topology file."""
NOTE = f"The testbed runs it by Python {PYTHON}."
"""A warning about every other runtime."""
_PYTHON = re.compile(r"python3\d+")
_UNSET = {"vpcConnectorEgressSettings", "directVpcEgress", "ingressSettings", "securityLevel"}
_SOURCE_FILE = "GOOGLE_FUNCTION_SOURCE"


def deploy(call: Call, name: str, body: Json) -> Operation:
    """Accept a function, new or changed; `body` is v2's, with `buildConfig.source` as v2 has it.

    Raises:
        InvalidArgument: Google or the testbed would not take it.
    """
    made = _tidied(body, name)
    build = made["buildConfig"]
    _check_runtime(build.get("runtime", ""))
    mebibytes(made.get("serviceConfig", {}).get("availableMemory", DEFAULT_MEMORY))
    if _SOURCE_FILE in build.get("environmentVariables", {}):
        raise InvalidArgument(f"{_SOURCE_FILE}: the testbed does not read it; put the function into main.py")
    before = call.plane.find(KIND, name)
    kept = before.body["buildConfig"] if before else None
    origin = build.pop("source", None) or (origin_of(kept) if kept else {})
    same = kept is not None and origin == origin_of(kept)
    build |= {"source": kept["source"] if kept and same else str(_folder(call.plane, origin)), "origin": origin}
    known = call.scope(segment(name, "projects"), region=segment(name, "locations"))
    _complete_interface(call, made, known)
    resolved = call.plane.resolve(KIND, {**made, "name": name}, known)
    problem = next(_problems(call.plane, name, resolved), None)
    facts: Json = {"fails": problem} if problem else {}
    return call.plane.submit(call.operation(KIND, name, changes=(ResourceChange(KIND, name, resolved),), facts=facts))


def name_in(parent: str, given: str) -> str:
    """The full name of a new function.

    Raises:
        InvalidArgument: it cannot be called that.
    """
    if not COMPUTE_NAME.fullmatch(given):
        raise InvalidArgument(
            f"function '{given}': its name must have at most 63 lower-case letters, digits and hyphens."
            " It must begin with a letter and must not end with a hyphen"
        )
    return f"{parent}/functions/{given}"


def asked(body: Json) -> Json:
    """A kept body as v2 has it: with `buildConfig.source` as a client said, or would."""
    result = {"environment": "GEN_2", **copy.deepcopy(body)}
    build = result["buildConfig"] = {"runtime": DEFAULT_RUNTIME, **result["buildConfig"]}
    build["source"] = origin_of(build)
    build.pop("origin", None)
    return result


def origin_of(build: Json) -> Json:
    """Where the source of a function came from; a folder of a topology file is a `file:` URI (our choice)."""
    found: Json = build.get("origin") or {"gitUri": f"file://{build['source']}"}
    return found


def _tidied(body: Json, name: str) -> Json:
    """A body without what is empty or unspecified, and with its default entry point: the function's name."""
    made = copy.deepcopy(body)
    config = made.get("serviceConfig", {})
    for key, value in list(config.items()):
        if value in ("", []) or (key in _UNSET and str(value).endswith("_UNSPECIFIED")):
            del config[key]
    build = made.setdefault("buildConfig", {})
    build["entryPoint"] = build.get("entryPoint") or last(name)
    return made


def _complete_interface(call: Call, made: Json, known: Defaults) -> None:
    config = made.get("serviceConfig", {})
    interfaces = config.get("directVpcNetworkInterface")
    if interfaces is None:
        return
    if made.get("environment") == "GEN_1":  # behaviour 7.2
        raise InvalidArgument("directVpcNetworkInterface: only functions of the 2nd generation have Direct VPC egress")
    direct.fits(interfaces, "serviceConfig.directVpcNetworkInterface")
    config["directVpcNetworkInterface"] = [direct.completed(call, one, known) for one in interfaces]


def _check_runtime(runtime: str) -> None:
    if not _PYTHON.fullmatch(runtime):
        raise InvalidResource(
            ("buildConfig", "runtime"),
            runtime,
            f"runtime {runtime or '(none)'} is not supported in the testbed; supported are {', '.join(RUNTIMES)}",
        )


def fetch(plane: ControlPlane, body: Json) -> None:
    """Unpack the source of a function that is about to be deployed; `body` is v2's."""
    place = _place(body.get("buildConfig", {}).get("source", {}))
    if place is not None:
        sources.prepared(plane, lambda: sources.from_zip(plane, *place))


def _place(origin: Json) -> transfers.ObjectPlace | None:
    storage = origin.get("storageSource", {})
    if address := storage.get("sourceUploadUrl"):
        return transfers.place_of(address)
    place = transfers.ObjectPlace(storage.get("bucket", ""), storage.get("object", ""))
    return place if all(place) else None


def _folder(plane: ControlPlane, origin: Json) -> Path:
    place = _place(origin)
    if place is None:
        raise InvalidResource(
            ("buildConfig", "source"),
            origin,
            "must be a zip archive in the testbed's Cloud Storage (storageSource)",
        )
    return sources.from_zip(plane, *place)


def _problems(plane: ControlPlane, name: str, body: Json) -> Iterator[Json]:
    """What a deployment fails by, as a `google.rpc.Status`."""
    if fault := sources.fault(Path(body["buildConfig"]["source"]), ["main.py"]):
        yield {"code": 3, "message": GoogleText(f"Build failed: {fault}")}
    for interface in body.get("serviceConfig", {}).get("directVpcNetworkInterface", ()):
        if short := direct.shortage(plane, interface):
            yield short
    connector = body.get("serviceConfig", {}).get("vpcConnector")
    if connector is None:
        return
    if segment(connector, "locations") != segment(name, "locations"):
        raise InvalidResource(
            ("serviceConfig", "vpcConnector"),
            connector,
            "the connector must be in the region of the function",
        )
    record = plane.find(CONNECTOR, connector)
    if record is None:  # behaviour 1.10.5
        text = f"Problem connecting to VPC Connector {connector}: Serverless VPC Access is not found."
        yield {"code": 9, "message": GoogleText(text)}
    elif state_of(plane, record) not in {"READY", "UPDATING"}:
        yield {"code": 9, "message": GoogleText("Failed to prepare VPC connector. Please try again later.")}
