"""REST requests of the procedures whose `google.api.http` options no client package has.

Two kinds: those that several APIs share (operations, locations, IAM policies), which each API binds to paths of its
own, and those of IAM and Cloud Logging, whose clients know gRPC only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from google.cloud.location import locations_pb2
from google.iam.v1 import iam_policy_pb2, policy_pb2
from google.longrunning import operations_pb2
from google.protobuf import empty_pb2
from google.protobuf.message import Message

from testbed.api.contract.discovery import Method, document

Binding = Mapping[str, str]
"""One of a procedure's `google.api.http` options: verb, URI template, and the field that is the body, if any."""


class Common(NamedTuple):
    """A procedure that several APIs have, and the end of its method's id in their discovery documents."""

    request: type[Message]
    response: type[Message]
    ending: str
    field: str = "name"
    """The field of the request that names what the call is about."""


COMMON: Mapping[str, Common] = {
    "/google.longrunning.Operations/GetOperation": Common(
        operations_pb2.GetOperationRequest, operations_pb2.Operation, ".operations.get"
    ),
    "/google.longrunning.Operations/ListOperations": Common(
        operations_pb2.ListOperationsRequest, operations_pb2.ListOperationsResponse, ".operations.list"
    ),
    "/google.longrunning.Operations/DeleteOperation": Common(
        operations_pb2.DeleteOperationRequest, empty_pb2.Empty, ".operations.delete"
    ),
    "/google.longrunning.Operations/CancelOperation": Common(
        operations_pb2.CancelOperationRequest, empty_pb2.Empty, ".operations.cancel"
    ),
    "/google.longrunning.Operations/WaitOperation": Common(
        operations_pb2.WaitOperationRequest, operations_pb2.Operation, ".operations.wait"
    ),
    "/google.cloud.location.Locations/GetLocation": Common(
        locations_pb2.GetLocationRequest, locations_pb2.Location, ".locations.get"
    ),
    "/google.cloud.location.Locations/ListLocations": Common(
        locations_pb2.ListLocationsRequest, locations_pb2.ListLocationsResponse, ".locations.list"
    ),
    "/google.iam.v1.IAMPolicy/GetIamPolicy": Common(
        iam_policy_pb2.GetIamPolicyRequest, policy_pb2.Policy, ".getIamPolicy", "resource"
    ),
    "/google.iam.v1.IAMPolicy/SetIamPolicy": Common(
        iam_policy_pb2.SetIamPolicyRequest, policy_pb2.Policy, ".setIamPolicy", "resource"
    ),
    "/google.iam.v1.IAMPolicy/TestIamPermissions": Common(
        iam_policy_pb2.TestIamPermissionsRequest,
        iam_policy_pb2.TestIamPermissionsResponse,
        ".testIamPermissions",
        "resource",
    ),
}
"""Procedures that clients of several APIs call.  A request does not say of which, except by the names in it."""

_ACCOUNTS, _ACCOUNT = "/v1/{name=projects/*}/serviceAccounts", "/v1/{name=projects/*/serviceAccounts/*}"
_KEY, _POLICY = "/v1/{name=projects/*/serviceAccounts/*/keys/*}", "/v1/{resource=projects/*/serviceAccounts/*}"
GRPC_ONLY: Mapping[str, tuple[str, str]] = {
    "/google.iam.admin.v1.IAM/ListServiceAccounts": ("get", _ACCOUNTS),
    "/google.iam.admin.v1.IAM/GetServiceAccount": ("get", _ACCOUNT),
    "/google.iam.admin.v1.IAM/CreateServiceAccount": ("post", _ACCOUNTS),
    "/google.iam.admin.v1.IAM/UpdateServiceAccount": ("put", _ACCOUNT),
    "/google.iam.admin.v1.IAM/PatchServiceAccount": (
        "patch",
        "/v1/{service_account.name=projects/*/serviceAccounts/*}",
    ),
    "/google.iam.admin.v1.IAM/DeleteServiceAccount": ("delete", _ACCOUNT),
    "/google.iam.admin.v1.IAM/EnableServiceAccount": ("post", f"{_ACCOUNT}:enable"),
    "/google.iam.admin.v1.IAM/DisableServiceAccount": ("post", f"{_ACCOUNT}:disable"),
    "/google.iam.admin.v1.IAM/ListServiceAccountKeys": ("get", f"{_ACCOUNT}/keys"),
    "/google.iam.admin.v1.IAM/GetServiceAccountKey": ("get", _KEY),
    "/google.iam.admin.v1.IAM/CreateServiceAccountKey": ("post", f"{_ACCOUNT}/keys"),
    "/google.iam.admin.v1.IAM/DeleteServiceAccountKey": ("delete", _KEY),
    "/google.iam.admin.v1.IAM/GetIamPolicy": ("post", f"{_POLICY}:getIamPolicy"),
    "/google.iam.admin.v1.IAM/SetIamPolicy": ("post", f"{_POLICY}:setIamPolicy"),
    "/google.iam.admin.v1.IAM/TestIamPermissions": ("post", f"{_POLICY}:testIamPermissions"),
    "/google.iam.admin.v1.IAM/ListRoles": ("get", "/v1/roles"),
    "/google.iam.admin.v1.IAM/GetRole": ("get", "/v1/{name=roles/*}"),
    "/google.logging.v2.LoggingServiceV2/ListLogEntries": ("post", "/v2/entries:list"),
    "/google.logging.v2.LoggingServiceV2/ListLogs": ("get", "/v2/{parent=*/*}/logs"),
}
"""Verb and URI of what the testbed has of IAM and Cloud Logging, as their published definitions annotate it."""


def of_common(path: str, apis: Sequence[str]) -> tuple[Binding, ...]:
    """The bindings of a procedure that several APIs have, to the paths of all of them."""
    common = COMMON[path]
    found = (
        _binding(method, common.field)
        for api in apis
        for method in document(api).methods
        if f".{method.id}".endswith(common.ending)
    )
    unique = {binding["uri"]: binding for binding in found}.values()
    return tuple(sorted(unique, key=lambda binding: "{" not in binding["uri"]))  # one without a name takes any


def of_grpc_only(path: str) -> tuple[Binding, ...]:
    """The binding of a procedure whose client says none; nothing if the testbed has no such method."""
    if path not in GRPC_ONLY:
        return ()
    verb, uri = GRPC_ONLY[path]
    has_body = verb not in {"get", "delete"} and not uri.endswith(":getIamPolicy")  # its options are in the query
    return ({"method": verb, "uri": uri, **({"body": "*"} if has_body else {})},)


def _binding(method: Method, field: str) -> Binding:
    body = {"body": "*"} if method.request else {}
    return {"method": method.verb.lower(), "uri": _template(method, field), **body}


def _template(method: Method, field: str) -> str:
    """The path with the name as one variable: `v1/{name=apps/*/operations/*}`, where discovery has one per segment."""
    version, _, rest = method.path.partition("/")
    if reserved := re.search(r"\{\+(\w+)\}", rest):
        pattern = method.parameters[reserved[1]]["pattern"].removeprefix("^").removesuffix("$")
        glob = pattern.replace("[^/]+", "*").replace(".*", "**")
        return f"/{version}/{rest.replace(reserved[0], f'{{{field}={glob}}}')}"
    names = re.match(r"(.*\})?(.*)", rest)
    glob, end = re.sub(r"\{\w+\}", "*", (names and names[1]) or ""), (names and names[2]) or ""
    return f"/{version}/" + (f"{{{field}={glob}}}" if glob else "") + end
