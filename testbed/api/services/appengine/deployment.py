"""App Engine: what a version is made from (behaviour 3.1, 3.6).

The API's body is kept, except for `deployment.zip.sourceUrl`, which becomes the folder that is run.  What a client said
of the deployment stands beside it, as `deployment.origin`.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from pathlib import Path

from testbed.api.calls.call import Call
from testbed.api.services import direct, sources
from testbed.api.services.appengine.names import VERSIONS, region_of
from testbed.api.services.storage import transfers
from testbed.api.services.vpcaccess import state_of
from testbed.control.accept.plane import ControlPlane, InvalidResource
from testbed.control.lifecycle import CONNECTOR
from testbed.control.state.resources import Record
from testbed.errors import GoogleText, InvalidArgument
from testbed.json_object import Json
from testbed.model.core.resource import Defaults, segment
from testbed.model.serverless.appengine import NO_NETWORK
from testbed.nodes.packages.requirements import RUNTIMES

_ID = re.compile(r"(?!ah-)[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_CONNECTOR = re.compile(r"projects/[^/]+/locations/[^/]+/connectors/[^/]+")
_PYTHON = re.compile(r"python(3\d+)?")
_NO_FLEX = "This field cannot be set for an App Engine Flexible Environment."
_MAIN = "main.py"


def checked_id(given: str) -> str:
    """The id of a new version.

    Raises:
        InvalidArgument: it cannot be called that.
    """
    if not _ID.fullmatch(given) or given in {"default", "latest"}:
        raise InvalidArgument(
            f"version id '{given}': must have 1-63 lower-case letters, digits and hyphens, with no hyphen at either"
            " end. It must not be 'default' or 'latest', nor begin with 'ah-'"
        )
    return given


def deployed(call: Call, app: Record, name: str) -> tuple[Json, Json | None]:
    """The body of a version as it is kept, and what the deployment fails by, as a `google.rpc.Status`.

    Raises:
        InvalidArgument: Google or the testbed would not take it.
    """
    body = _tidied(call.body)
    flexible = body["env"] == "flexible"
    runtime = body.get("runtime", "")
    if not _PYTHON.fullmatch(runtime) and not (flexible and body["deployment"].get("container")):
        raise InvalidResource(
            ("version", "runtime"),
            runtime,
            f"runtime {runtime or '(none)'} is not supported in the testbed; supported are {', '.join(RUNTIMES)} and"
            " (in the flexible environment) container images: deployment.container",
        )
    known = call.scope(app.name, region=region_of(app))
    if access := body.get("vpcAccess"):
        body["vpcAccess"] = _interface(call, access, known, flexible=flexible)
    if flexible:
        body["network"] = _network(call.plane, app, body.get("network", {}))
    elif "network" in body:
        raise InvalidResource(("version", "network"), body["network"], NO_NETWORK)
    _check_access(body, region_of(app), flexible=flexible)
    body["deployment"] = _deployment(call, body["deployment"])
    resolved = call.plane.resolve(VERSIONS, {**body, "name": name}, known)
    return resolved, next(_problems(call.plane, resolved), None)


def asked(body: Json) -> Json:
    """A kept body as the API has it: with the deployment as a client said it, or would."""
    result = copy.deepcopy(body)
    kept = result.pop("deployment")
    folder = kept.get("zip", {}).get("sourceUrl")  # of a topology file, shown as a `file:` URL: our choice
    result["deployment"] = kept.get("origin") or ({"zip": {"sourceUrl": f"file://{folder}"}} if folder else kept)
    return result


def _tidied(given: Json) -> Json:
    """A body without what is empty or unspecified, and with the environment's full name."""
    body = copy.deepcopy(given)
    body.setdefault("deployment", {})
    if body.get("runtime") == "vm":  # so gcloud writes the flexible environment
        body["runtime"] = body.get("betaSettings", {}).get("vm_runtime", "custom")
    environment = body.get("env") or "standard"
    body["env"] = "flexible" if environment == "flex" else environment
    if not body.get("entrypoint", {}).get("shell"):
        body.pop("entrypoint", None)
    if body.get("servingStatus") == "SERVING_STATUS_UNSPECIFIED":
        del body["servingStatus"]
    if body.get("vpcAccess", {}).get("vpcEgress") == "VPC_EGRESS_UNSPECIFIED":
        del body["vpcAccess"]["vpcEgress"]
    if body.get("vpcAccessConnector", {}).get("egressSetting") == "EGRESS_SETTING_UNSPECIFIED":
        del body["vpcAccessConnector"]["egressSetting"]
    return body


def _check_access(body: Json, region: str, *, flexible: bool) -> None:
    access = body.get("vpcAccessConnector")
    if access is None:
        return
    if flexible:  # behaviour 3.6
        raise InvalidResource(("version", "vpc_access_connector"), access, GoogleText(_NO_FLEX))
    name = access.get("name", "")
    if not _CONNECTOR.fullmatch(name):  # behaviour 3.1.1
        raise InvalidResource(
            ("version", "vpc_access_connector", "name"),
            name,
            f"'{name}' is not the full name of a connector: projects/PROJECT/locations/REGION/connectors/NAME",
        )
    if segment(name, "locations") != region:  # behaviour 1.12.1
        raise InvalidResource(
            ("version", "vpc_access_connector", "name"),
            name,
            f"the connector must be in the region of the application, {region}",
        )


def _interface(call: Call, access: Json, known: Defaults, *, flexible: bool) -> Json:
    """Direct VPC egress with full names."""
    if flexible:
        raise InvalidResource(("version", "vpc_access"), access, GoogleText(_NO_FLEX))
    direct.fits(access.get("networkInterfaces"), "version.vpc_access.network_interfaces", "subnet")
    (interface,) = access["networkInterfaces"]
    return {**access, "networkInterfaces": [direct.completed(call, interface, known, "subnet")]}


def _network(plane: ControlPlane, app: Record, given: Json) -> Json:
    """The network of a flexible version; the default one, and the only subnet of the region, need not be named."""
    network, region = given.get("name") or "default", region_of(app)
    if given.get("subnetworkName"):
        return {**given, "name": network}
    name = f"projects/{app.name}/global/networks/{network}"
    subnets = [
        record.id
        for record in plane.list("compute.subnetworks", f"projects/{app.name}/regions/{region}/")
        if record.body.get("network") == name
    ]
    if len(subnets) != 1:
        raise InvalidResource(
            ("version", "network", "subnetworkName"),
            "",
            f"the network {network} has {len(subnets)} subnetworks in {region}: name the one to use",
        )
    return {**given, "name": network, "subnetworkName": subnets[0]}


def _deployment(call: Call, given: Json) -> Json:
    """What is deployed, as it is kept."""
    if container := given.get("container"):
        if not call.images.knows(container.get("image", "")):
            raise InvalidResource(
                ("version", "deployment", "container", "image"),
                container.get("image"),
                f"the image '{container.get('image')}' is not in the local Docker engine",
            )
        return {"container": container, "origin": given}
    if given.get("cloudBuildOptions"):
        raise InvalidArgument("version: the testbed has no Cloud Build; deploy files, a zip archive or an image")
    return {"zip": {"sourceUrl": str(_folder(call.plane, given))}, "origin": given}


def fetch(call: Call) -> None:
    """Make the folder of a version that is about to be deployed."""
    sources.prepared(call.plane, lambda: _folder(call.plane, call.body.get("deployment", {})))


def _folder(plane: ControlPlane, given: Json) -> Path:
    """The folder with the files of a deployment.

    Raises:
        InvalidArgument: there are none, or not all of them.
    """
    if address := given.get("zip", {}).get("sourceUrl", ""):
        place = transfers.place_of(address)
        if place is None:
            raise InvalidArgument(f"source '{address}': it is not a URL of Cloud Storage")
        return sources.from_zip(plane, *place)
    if files := given.get("files"):
        return sources.from_files(plane, files)
    raise InvalidArgument("version: deployment is missing; give files, a zip archive or an image")


def _problems(plane: ControlPlane, body: Json) -> Iterator[Json]:
    folder = body["deployment"].get("zip", {}).get("sourceUrl")
    needed = [] if "entrypoint" in body else [_MAIN]
    if folder and (fault := sources.fault(Path(folder), needed)):
        yield {"code": 9, "message": GoogleText(f"Build failed: {fault}")}
    for interface in body.get("vpcAccess", {}).get("networkInterfaces", ()):
        if short := direct.shortage(plane, interface, "subnet"):
            yield short
    connector = body.get("vpcAccessConnector", {}).get("name")
    if connector is None:
        return
    record = plane.find(CONNECTOR, connector)
    if record is None:  # the words of Cloud Run (behaviour 1.10.5): App Engine's are not known
        text = f"VPC connector {connector} does not exist, or App Engine does not have permission to use it."
        yield {"code": 9, "message": GoogleText(text)}
    elif state_of(plane, record) not in {"READY", "UPDATING"}:
        yield {"code": 9, "message": GoogleText("Failed to prepare VPC connector. Please try again later.")}
