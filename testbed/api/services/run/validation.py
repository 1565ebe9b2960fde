"""What is refused before anything is accepted: what Google refuses, and what the testbed does not do yet.

Nothing that a service asks for and that would change its packets is passed over in silence.
"""

from __future__ import annotations

from collections.abc import Iterator

from testbed.api.calls.call import Call
from testbed.api.services import direct, vpcaccess
from testbed.api.services.run import names
from testbed.control.lifecycle import CONNECTOR
from testbed.errors import GoogleText, InvalidArgument, Unimplemented
from testbed.json_object import Json
from testbed.model.core.resource import Defaults, qualify, segment
from testbed.model.serverless.workload import is_hello

RESERVED = ("run.googleapis.com", "cloud.googleapis.com", "serving.knative.dev", "autoscaling.knative.dev")
"""Name spaces of labels and annotations that v2 has fields for, and refuses (its discovery document)."""


def fits_v2(body: Json, where: str) -> None:
    """See that v2's labels and annotations are a user's own.

    Raises:
        InvalidArgument: one is Google's.
    """
    for field in ("labels", "annotations"):
        for key in body.get(field, {}):
            if key.partition("/")[0] in RESERVED:
                raise InvalidArgument(
                    GoogleText(
                        f"Violation in {where}.{field}: {field} with the prefix {key.partition('/')[0]} are not"
                        " allowed."
                    )
                )


def hidden(body: Json) -> Json:
    """The annotations that v2 does not show, and so does not change."""
    return {key: text for key, text in body.get("annotations", {}).items() if key.partition("/")[0] in RESERVED}


def network_access(access: Json | None, where: str) -> None:
    """See that a way into a network is one of the two (behaviour 1.10.5, 1.12.4).

    Raises:
        InvalidArgument: both or neither are given, or several interfaces, or one that is nowhere.
    """
    if access is None:
        return
    if bool(access.get("connector")) == bool(access.get("networkInterfaces")):
        raise InvalidArgument(
            GoogleText(
                f"Violation in {where}.vpc_access.connector: one and only one of connector and network_interfaces must"
                " be"
                " set."
            )
        )
    if interfaces := access.get("networkInterfaces"):
        direct.fits(interfaces, f"Violation in {where}.vpc_access.network_interfaces")


def connector_name(call: Call, given: str, name: str) -> str:
    """The full name of the connector of the resource `name`: short in its project, by the project's id or number.

    Raises:
        InvalidArgument: it is no name, or that of a connector in another region (behaviour 1.12.1, 3.1.1).
    """
    owner, region = segment(name, "projects"), segment(name, "locations")
    try:
        found = qualify(given, "locations/-/connectors", Defaults(owner, region))
    except ValueError as error:
        raise InvalidArgument(f"connector: {error}") from None
    if segment(found, "locations") != region:
        raise InvalidArgument(f"connector {found}: it must be in the region of the service, {region}")
    return names.full(call, found)


def way(call: Call, access: Json, name: str) -> tuple[Json, Json]:
    """A way into a network with the full names of what the resource `name` goes by, and in the client's spelling.

    Raises:
        InvalidArgument: a name is none.
    """
    full = {key: value for key, value in access.items() if value}
    spelled = dict(full)
    if given := full.get("connector"):
        full["connector"] = connector_name(call, given, name)
    if interfaces := full.get("networkInterfaces"):
        known = Defaults(segment(name, "projects"), segment(name, "locations"))
        full["networkInterfaces"] = [direct.completed(call, one, known) for one in interfaces]
        spelled["networkInterfaces"] = [
            direct.spelled(one, whole, known.project)
            for one, whole in zip(interfaces, full["networkInterfaces"], strict=True)
        ]
    return full, spelled


def service(body: Json, where: str) -> None:
    """See that a service asks for nothing that is not built.

    Raises:
        Unimplemented: it does.
    """
    for what in _unbuilt_of_service(body):
        raise Unimplemented(f"{where}: the testbed does not implement {what} of Cloud Run services yet")


def template(body: Json, where: str) -> None:
    """The same for a template's containers.

    Raises:
        InvalidArgument: there is no container.
        Unimplemented: something is not built.
    """
    containers = body.get("containers", [])
    if not containers or not containers[0].get("image"):
        raise InvalidArgument(
            GoogleText(f"Violation in {where}.containers: at least one container with an image must be given.")
        )
    network_access(body.get("vpcAccess"), where)
    for what in _unbuilt(body, containers):
        raise Unimplemented(f"{where}: the testbed does not implement {what} of Cloud Run yet")


def _unbuilt_of_service(body: Json) -> Iterator[str]:
    if body.get("ingress") == "INGRESS_TRAFFIC_NONE":
        yield "the ingress setting INGRESS_TRAFFIC_NONE"
    shares = [target for target in body.get("traffic", []) if target.get("percent")]
    if len(shares) > 1:
        yield "traffic splitting (one revision must get all 100 percent)"
    if any(target.get("tag") for target in body.get("traffic", [])):
        yield "traffic tags"
    if body.get("defaultUriDisabled"):
        yield "services without a default URL"
    if body.get("iapEnabled"):
        yield "Identity-Aware Proxy"
    if body.get("multiRegionSettings"):
        yield "multi-region services"


def _unbuilt(body: Json, containers: list[Json]) -> Iterator[str]:
    if len(containers) > 1:
        yield "sidecars (several containers)"
    if body.get("volumes"):
        yield "volumes"
    for field in ("serviceMesh", "ambientNetworking"):
        if body.get(field):
            yield field
    for variable in containers[0].get("env", []):
        if variable.get("valueSource"):
            yield (
                "environment variables from Secret Manager (a value `sm://PROJECT/SECRET` reads a secret of the"
                " topology file)"
            )
    if any(port.get("name") == "h2c" for port in containers[0].get("ports", [])):
        yield "HTTP/2 end to end (h2c)"


def foreseen(call: Call, body: Json) -> Json | None:
    """Why a revision of this template cannot get ready, as a `google.rpc.Status` with Google's `reason`, if so."""
    if connector := body.get("vpcAccess", {}).get("connector"):
        record = call.plane.find(CONNECTOR, connector)
        if record is None:  # behaviour 1.10.5
            text = f"VPC connector {connector} does not exist, or Cloud Run does not have permission to use it."
            return {"code": 9, "message": GoogleText(text), "reason": ""}
        if vpcaccess.state_of(call.plane, record) not in {"READY", "UPDATING"}:
            return {
                "code": 9,
                "message": GoogleText("Failed to prepare VPC connector. Please try again later."),
                "reason": "",
            }
    for interface in body.get("vpcAccess", {}).get("networkInterfaces", ()):
        if short := direct.shortage(call.plane, interface):
            return {**short, "reason": ""}
    image = body["containers"][0]["image"]
    if not is_hello(image) and not call.images.knows(image):
        return {"code": 5, "message": GoogleText(f"Image '{image}' not found."), "reason": "CONTAINER_MISSING"}
    return None
