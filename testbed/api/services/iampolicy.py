"""IAM policies of resources: kept as they are set, with an etag.  They decide nothing: every caller may do all.

Our choice: a testbed is its owner's; what Google would refuse for want of a role is not refused here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from testbed.api.calls.call import Call, serves
from testbed.api.services.compute.names import fingerprint
from testbed.control.accept.plane import ControlPlane
from testbed.control.state.resources import Record
from testbed.errors import Aborted, GoogleText, InvalidArgument
from testbed.json_object import Json

KIND = "iam.policies"
EMPTY: Json = {"version": 1, "etag": "ACAB"}
"""The policy of a resource that was never given one (Google's etag for it)."""


def register(apis: str, collection: str, resource: Callable[[Call], str]) -> None:
    """Serve the three methods of a collection; `resource` finds the full name of what a call is about."""
    serves(apis, f"{collection}.getIamPolicy")(lambda call: policy(call.plane, resource(call)))
    serves(apis, f"{collection}.setIamPolicy")(lambda call: replaced(call, resource(call)))
    serves(apis, f"{collection}.testIamPermissions")(tested)


def policy(plane: ControlPlane, resource: str) -> Json:
    """The policy of a resource."""
    record = plane.find(KIND, resource)
    if record is None:
        return dict(EMPTY)
    conditional = any("condition" in binding for binding in record.body.get("bindings", []))
    etag = fingerprint(record.name, record.number, record.generation)
    return {**record.body, "version": 3 if conditional else 1, "etag": etag}


def replaced(call: Call, resource: str) -> Json:
    """Set the policy of a resource.

    Raises:
        Aborted: it has been changed since the caller read it.
        InvalidArgument: it is none.
    """
    given = dict(call.body.get("policy", {}))
    if given.pop("etag", None) not in {None, "", policy(call.plane, resource)["etag"]}:
        raise Aborted(
            GoogleText(
                "There were concurrent policy changes. Please retry the whole read-modify-write with exponential"
                " backoff."
            )
        )
    for binding in given.get("bindings", []):
        role = binding.get("role", "")
        if not role.startswith(("roles/", "projects/", "organizations/")):
            raise InvalidArgument(GoogleText(f"Role {role} is not supported for this resource."))
        for member in binding.get("members", []):
            if member not in {"allUsers", "allAuthenticatedUsers"} and ":" not in member:
                raise InvalidArgument(f"member {member}: it must be of the form TYPE:NAME")
    given["bindings"] = [binding for binding in given.get("bindings", []) if binding.get("members")]
    record = call.plane.find(KIND, resource) or Record(KIND, resource, given)
    call.plane.keep(replace(record, body=given))
    return policy(call.plane, resource)


def tested(call: Call) -> Json:
    """All permissions that are asked for: everybody has them, even on what is not there yet.

    `gcloud run deploy` asks before it makes a service whether it may set its policy.
    """
    asked = call.body.get("permissions") or list(call.repeated.get("permissions", ()))
    return {"permissions": asked} if asked else {}
