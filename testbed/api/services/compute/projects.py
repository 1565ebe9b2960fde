"""Projects as Compute Engine sees them: metadata, quotas, and their part in Shared VPC.

Every project that a call names is there.  Quotas are numbers to look at: the testbed does not enforce them.
"""

from __future__ import annotations

from testbed.api.calls.call import Answer, Call, serves
from testbed.api.calls.clock import compute_timestamp
from testbed.api.services.compute.collection import API
from testbed.api.services.compute.names import fingerprint, numeric_id, url
from testbed.control.accept.plane import ControlPlane
from testbed.control.state.operations import ResourceChange
from testbed.errors import FailedPrecondition, GoogleText
from testbed.json_object import Json
from testbed.model.core.projects import compute_account

KIND = "compute.projects"
STATUS = "xpnProjectStatus"
METADATA = "commonInstanceMetadata"
LIMITS = {
    "NETWORKS": ("compute.networks", 15), "SUBNETWORKS": ("compute.subnetworks", 275),
    "FIREWALLS": ("compute.firewalls", 200), "ROUTES": ("compute.routes", 250), "ROUTERS": ("compute.routers", 20),
    "STATIC_ADDRESSES": ("compute.addresses", 21), "FORWARDING_RULES": ("compute.forwardingRules", 45),
    "TARGET_VPN_GATEWAYS": ("compute.targetVpnGateways", 15), "VPN_GATEWAYS": ("compute.vpnGateways", 15),
    "EXTERNAL_VPN_GATEWAYS": ("compute.externalVpnGateways", 15), "VPN_TUNNELS": ("compute.vpnTunnels", 30),
}  # fmt: skip
"""What is counted, and Google's usual limits (recalled)."""


def body_of(plane: ControlPlane, project: str) -> Json:
    """What is known of a project."""
    record = plane.find(KIND, f"projects/{project}")
    return record.body if record else {}


def change(call: Call, project: str, fields: Json) -> Answer:
    """Accept new values of some fields of a project, which may not be the call's; None takes one away."""
    name = f"projects/{project}"
    body = {**body_of(call.plane, project), **fields}
    changes = (ResourceChange(KIND, name, {key: value for key, value in body.items() if value is not None}),)
    facts = {"scope": "global", "type": call.method.action}
    return call.plane.submit(call.operation(KIND, f"projects/{call.text('project')}", changes=changes, facts=facts))


def view(plane: ControlPlane, project: str) -> Json:
    """A project as the API prints it."""
    record = plane.find(KIND, f"projects/{project}")
    body = record.body if record else {}
    items = body.get(METADATA, {}).get("items", [])
    metadata = {"kind": "compute#metadata", "fingerprint": fingerprint(items)}
    result: Json = {
        "kind": "compute#project",
        "id": numeric_id(f"projects/{project}"),
        "name": project,
        "creationTimestamp": compute_timestamp(record.created if record else 0.0),
        "selfLink": url(f"projects/{project}"),
        METADATA: {**metadata, "items": items} if items else metadata,
        "defaultServiceAccount": compute_account(project),
        "defaultNetworkTier": "PREMIUM",
        "vmDnsSetting": "ZONAL_ONLY",
        "quotas": [
            {"metric": metric, "limit": float(limit), "usage": float(len(plane.list(kind, f"projects/{project}/")))}
            for metric, (kind, limit) in LIMITS.items()
        ],
    }
    return {**result, STATUS: body[STATUS]} if STATUS in body else result


@serves(API, "projects.get")
def get(call: Call) -> Json:
    """A project."""
    return view(call.plane, call.text("project"))


@serves(API, "projects.setCommonInstanceMetadata")
def set_metadata(call: Call) -> Answer:
    """Change the metadata that all instances can read.

    Raises:
        FailedPrecondition: the fingerprint is not that of the metadata as they are.
    """
    project = call.text("project")
    known = view(call.plane, project)[METADATA]["fingerprint"]
    if call.body.get("fingerprint", known) != known:
        message = "Supplied fingerprint does not match current metadata fingerprint."
        raise FailedPrecondition(GoogleText(message), reason="conditionNotMet")
    return change(call, project, {METADATA: {"items": call.body.get("items", [])}})
