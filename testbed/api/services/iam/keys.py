"""Keys of service accounts: the testbed's token endpoint takes them (`testbed.api.callers.identity`)."""

from __future__ import annotations

import base64
import json

from testbed.api.callers.keyfile import unique_id
from testbed.api.callers.keys import PublicKey
from testbed.api.calls.call import Call, serves
from testbed.api.calls.clock import timestamp
from testbed.api.services.iam.accounts import API, account_of
from testbed.api.services.iam.certificate import self_signed
from testbed.control.state.resources import Record
from testbed.errors import FailedPrecondition, GoogleText, NotFound, Unimplemented
from testbed.json_object import Json
from testbed.model.core.resource import segment

KIND = "iam.serviceAccountKeys"
"""What is kept of a key here is when it was made, and its certificate."""
MOST = 10
"""Keys that an account can have."""
_NEVER = "9999-12-31T23:59:59Z"


@serves(API, "projects.serviceAccounts.keys.create")
def create(call: Call) -> Json:
    """Make a key.  Its secret is in the answer, and nowhere else.

    Raises:
        FailedPrecondition: the account has enough.
        Unimplemented: the caller wants another format or length.
    """
    account = account_of(call)
    if call.body.get("privateKeyType") == "TYPE_PKCS12_FILE" or call.body.get("keyAlgorithm") == "KEY_ALG_RSA_1024":
        raise Unimplemented("key: the testbed makes keys of RSA 2048 in Google's JSON file only")
    if len(call.identity.keys_of(account.id)) >= MOST:
        raise FailedPrecondition(GoogleText("Precondition check failed."))
    content = call.identity.create_key(account.id, segment(account.name, "projects"))
    name = f"{account.name}/keys/{content['private_key_id']}"
    certificate = self_signed(content["private_key"], unique_id(account.id))
    call.plane.keep(Record(KIND, name, {"certificate": certificate}))
    file = json.dumps(content, indent=2) + "\n"
    return {
        **_view(call, name),
        "privateKeyType": "TYPE_GOOGLE_CREDENTIALS_FILE",
        "privateKeyData": base64.b64encode(file.encode()).decode(),
    }


@serves(API, "projects.serviceAccounts.keys.get")
def get(call: Call) -> Json:
    """One key, and its public half if that is asked for."""
    name, key = _key(call)
    wanted, record = call.text("publicKeyType"), call.plane.find(KIND, name)
    if wanted == "TYPE_X509_PEM_FILE" and record is None:
        raise Unimplemented(
            "key: it was made by `testbed key create` and has no certificate; ask for TYPE_RAW_PUBLIC_KEY"
        )
    data = {"TYPE_RAW_PUBLIC_KEY": key.pem, "TYPE_X509_PEM_FILE": record.body["certificate"] if record else ""}
    shown = {"publicKeyData": base64.b64encode(data[wanted].encode()).decode()} if wanted in data else {}
    return {**_view(call, name), **shown}


@serves(API, "projects.serviceAccounts.keys.list")
def list_(call: Call) -> Json:
    """The keys of an account.  Google's own, by which it signs for the account, are not among them."""
    account = account_of(call)
    if set(call.repeated.get("keyTypes", ())) == {"SYSTEM_MANAGED"}:
        return {}
    found = [_view(call, f"{account.name}/keys/{key.id}") for key in call.identity.keys_of(account.id)]
    return {"keys": found} if found else {}


@serves(API, "projects.serviceAccounts.keys.delete")
def delete(call: Call) -> Json:
    """Delete a key: what it signs is refused from now on."""
    name, key = _key(call)
    call.plane.drop(KIND, name)
    call.identity.delete_key(key.id)
    return {}


def _key(call: Call) -> tuple[str, PublicKey]:
    """The full name of the key that a path names, and the key.

    Raises:
        NotFound: there is none.
    """
    account, given = account_of(call), segment(call.text("name"), "keys")
    for key in call.identity.keys_of(account.id):
        if key.id == given:
            return f"{account.name}/keys/{given}", key
    raise NotFound(GoogleText(f"Service account key {given} does not exist."), reason="notFound")


def _view(call: Call, name: str) -> Json:
    """A key as the API prints it.  When it was made is not known of those that `testbed key create` made."""
    record = call.plane.find(KIND, name)
    since = {"validAfterTime": f"{timestamp(record.created)[:19]}Z"} if record else {}
    return {
        "name": name,
        "keyAlgorithm": "KEY_ALG_RSA_2048",
        "keyOrigin": "GOOGLE_PROVIDED",
        "keyType": "USER_MANAGED",
        **since,
        "validBeforeTime": _NEVER,
    }
