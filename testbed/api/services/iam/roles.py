"""The predefined roles that matter to connectors (behaviour 1.11).  Google has some thousand more."""

from __future__ import annotations

from collections.abc import Mapping

from testbed.api.calls.call import Call, serves
from testbed.api.contract import listing
from testbed.api.services.iam.accounts import API
from testbed.errors import GoogleText, NotFound
from testbed.json_object import Json

_READ = ("connectors.get", "connectors.list", "locations.list", "operations.get", "operations.list")
_WRITE = ("connectors.create", "connectors.delete", "connectors.update", "connectors.use")
ROLES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "roles/owner": ("Owner", ()),
    "roles/editor": ("Editor", ()),
    "roles/viewer": ("Viewer", ()),
    "roles/vpcaccess.admin": ("Serverless VPC Access Admin", (*_READ, *_WRITE)),
    "roles/vpcaccess.user": ("Serverless VPC Access User", (*_READ, "connectors.use")),
    "roles/vpcaccess.viewer": ("Serverless VPC Access Viewer", _READ),
    "roles/vpcaccess.serviceAgent": ("Serverless VPC Access Service Agent", ()),
    "roles/compute.admin": ("Compute Admin", ()),
    "roles/compute.networkUser": ("Compute Network User", ()),
    "roles/compute.networkViewer": ("Compute Network Viewer", ()),
    "roles/compute.viewer": ("Compute Viewer", ()),
}
"""Title, and permissions of vpcaccess where they are known (behaviour 1.11.6, recalled); no others are listed."""


@serves(API, "roles.get")
def get(call: Call) -> Json:
    """One role, with its permissions."""
    name = call.text("name")
    if name not in ROLES:
        raise NotFound(GoogleText(f"The role named {name} was not found."), reason="notFound")
    return _view(name, full=True)


@serves(API, "roles.list")
def list_(call: Call) -> Json:
    """The predefined roles; if a parent is given, its own, of which there are none."""
    names = () if call.text("parent") else ROLES
    page = listing.page(
        [_view(name, full=call.text("view") == "FULL") for name in names],
        size=call.number("pageSize"),
        token=call.text("pageToken"),
        maximum=1000,
    )
    return page.answer("roles")


def _view(name: str, *, full: bool) -> Json:
    title, permissions = ROLES[name]
    shown: Json = {"name": name, "title": title, "stage": "GA", "etag": "AA=="}
    return {**shown, "includedPermissions": sorted(f"vpcaccess.{p}" for p in permissions)} if full else shown
