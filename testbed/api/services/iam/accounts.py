"""Service accounts."""

from __future__ import annotations

import re
from dataclasses import replace

from testbed.api.callers.keyfile import unique_id
from testbed.api.calls.call import Call, serves
from testbed.api.contract import listing, masks
from testbed.api.services import iampolicy
from testbed.api.services.resourcemanager.ids import id_of
from testbed.control.state.resources import Record
from testbed.errors import AlreadyExists, GoogleText, InvalidArgument, NotFound
from testbed.json_object import Json
from testbed.model.core.resource import segment

API = "iam.v1"
KIND = "iam.serviceAccounts"
MUTABLE = ("displayName", "description")
_ID = re.compile(r"[a-z][-a-z0-9]{4,28}[a-z0-9]")
_UNKNOWN = "Unknown service account"


@serves(API, "projects.serviceAccounts.create")
def create(call: Call) -> Json:
    """Make an account."""
    account, project = call.body.get("accountId", ""), id_of(call.plane, call.text("name"))
    if not _ID.fullmatch(account):
        raise InvalidArgument(
            f"account_id '{account}': must have 6-30 lower-case letters, digits and hyphens."
            " It must begin with a letter and end with a letter or a digit"
        )
    email = f"{account}@{project}.iam.gserviceaccount.com"
    name = f"projects/{project}/serviceAccounts/{email}"
    if call.plane.find(KIND, name):
        raise AlreadyExists(
            GoogleText(f"Service account {account} already exists within project projects/{project}."),
            reason="alreadyExists",
        )
    given = call.body.get("serviceAccount", {})
    body = {key: given[key] for key in MUTABLE if given.get(key)}
    return view(call.plane.keep(Record(KIND, name, body)))


@serves(API, "projects.serviceAccounts.get")
def get(call: Call) -> Json:
    """One account."""
    return view(account_of(call))


@serves(API, "projects.serviceAccounts.list")
def list_(call: Call) -> Json:
    """The accounts of a project that were made through this API."""
    project = id_of(call.plane, call.text("name"))
    made = [view(record) for record in call.plane.list(KIND, f"projects/{project}/serviceAccounts/")]
    page = listing.page(
        made, size=call.number("pageSize"), token=call.text("pageToken"), maximum=100, collection=project
    )
    return page.answer("accounts")


@serves(API, "projects.serviceAccounts.patch")
def patch(call: Call) -> Json:
    """Change the words that an account is described with."""
    return _described(call, call.body.get("serviceAccount", {}), call.body.get("updateMask", ""))


@serves(API, "projects.serviceAccounts.update")
def update(call: Call) -> Json:
    """Change the name that an account is shown by."""
    return _described(call, call.body, "displayName")


@serves(API, "projects.serviceAccounts.delete")
def delete(call: Call) -> Json:
    """Delete an account, with its keys and its policy."""
    record = account_of(call)
    for key in call.identity.keys_of(record.id):
        call.identity.delete_key(key.id)
    call.identity.set_disabled(record.id, disabled=False)
    call.plane.drop(iampolicy.KIND, record.name)
    call.plane.drop(KIND, record.name)
    return {}


@serves(API, "projects.serviceAccounts.disable")
def disable(call: Call) -> Json:
    """Let an account do nothing, not even by the tokens that it has."""
    return _switched(call, disabled=True)


@serves(API, "projects.serviceAccounts.enable")
def enable(call: Call) -> Json:
    """Let an account call again."""
    return _switched(call, disabled=False)


def account_of(call: Call) -> Record:
    """The account that a path names: by address or number, in its project or (`-`) in any.

    Raises:
        NotFound: there is none.
    """
    name = call.text("name") or call.text("resource")
    account, project = segment(name, "serviceAccounts"), id_of(call.plane, segment(name, "projects"))
    prefix = "projects/" if project == "-" else f"projects/{project}/"
    for record in call.plane.list(KIND, prefix):
        if account in {record.id, unique_id(record.id)}:
            return record
    raise NotFound(GoogleText(_UNKNOWN), reason="notFound")


def view(record: Record) -> Json:
    """An account as the API prints it."""
    number = unique_id(record.id)
    shown: Json = {
        "name": record.name,
        "projectId": segment(record.name, "projects"),
        "uniqueId": number,
        "email": record.id,
        "oauth2ClientId": number,
        "etag": "MDEwMjE5MjA=",
        **record.body,
    }
    return shown


def _described(call: Call, given: Json, mask: str) -> Json:
    record = account_of(call)
    body = {**masks.apply(record.body, given, masks.paths(mask), known=MUTABLE)}
    return view(call.plane.keep(replace(record, body=body)))


def _switched(call: Call, *, disabled: bool) -> Json:
    record = account_of(call)
    body = {key: value for key, value in record.body.items() if key != "disabled"}
    body |= {"disabled": True} if disabled else {}
    call.plane.keep(replace(record, body=body))
    call.identity.set_disabled(record.id, disabled=disabled)
    return {}


iampolicy.register(API, "projects.serviceAccounts", lambda call: account_of(call).name)
