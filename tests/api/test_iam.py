"""iam: service accounts that really are who calls, and roles."""

from __future__ import annotations

import base64
import json
import time

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from cryptography.x509 import load_pem_x509_certificate

from testbed.api.callers.identity import JWT_BEARER, OWNER
from testbed.api.callers.keyfile import TOKEN_URI
from testbed.errors import Unauthenticated
from testbed.json_object import Json
from tests.api.harness import Api, Refused

ACCOUNTS = "v1/projects/demo/serviceAccounts"
EMAIL = "robot-1@demo.iam.gserviceaccount.com"
ACCOUNT = f"{ACCOUNTS}/{EMAIL}"


@pytest.fixture(autouse=True)
def account(api: Api) -> Json:
    return api.post(ACCOUNTS, {"accountId": "robot-1", "serviceAccount": {"displayName": "Robot"}})


def key_of(made: Json) -> Json:
    content: Json = json.loads(base64.b64decode(made["privateKeyData"]))
    return content


def token(api: Api, key: Json) -> Json:
    now = int(time.time())
    claims = {"iss": key["client_email"], "aud": TOKEN_URI, "iat": now, "exp": now + 60, "scope": "x"}
    assertion = jwt.encode(claims, key["private_key"], "RS256", {"kid": key["private_key_id"]})
    return api.identity.exchange({"grant_type": JWT_BEARER, "assertion": assertion}, now)


def test_an_account_is_found_by_address_and_number(api: Api, account: Json) -> None:
    assert (account["email"], account["displayName"], account["projectId"]) == (EMAIL, "Robot", "demo")
    for name in (ACCOUNT, f"v1/projects/-/serviceAccounts/{EMAIL}", f"{ACCOUNTS}/{account['uniqueId']}"):
        assert api.get(name) == account
    assert api.get(ACCOUNTS) == {"accounts": [account]}
    with pytest.raises(Refused, match="Unknown service account") as caught:
        api.get(f"v1/projects/other/serviceAccounts/{EMAIL}")
    assert caught.value.code == 404


def test_accounts_that_cannot_be(api: Api) -> None:
    with pytest.raises(Refused, match="robot-1 already exists within project projects/demo") as caught:
        api.post(ACCOUNTS, {"accountId": "robot-1"})
    assert caught.value.code == 409
    with pytest.raises(Refused, match="account_id"):
        api.post(ACCOUNTS, {"accountId": "me"})


def test_words_change(api: Api) -> None:
    body = {"serviceAccount": {"displayName": "R2", "description": "d"}, "updateMask": "display_name"}
    assert api.patch(ACCOUNT, body)["displayName"] == "R2"
    assert "description" not in api.get(ACCOUNT)


def test_a_key_makes_its_caller_the_account(api: Api) -> None:
    made = api.post(f"{ACCOUNT}/keys", {})
    key = key_of(made)
    assert (key["client_email"], made["name"].rpartition("/")[2]) == (EMAIL, key["private_key_id"])
    assert api.identity.principal(f"Bearer {token(api, key)['access_token']}", time.time()) == EMAIL
    (listed,) = api.get(f"{ACCOUNT}/keys", keyTypes="USER_MANAGED")["keys"]
    assert listed == api.get(f"{ACCOUNT}/keys/{key['private_key_id']}")
    assert "privateKeyData" not in listed
    shown = api.get(f"{ACCOUNT}/keys/{key['private_key_id']}", publicKeyType="TYPE_RAW_PUBLIC_KEY")
    public = load_pem_public_key(base64.b64decode(shown["publicKeyData"]))
    shown = api.get(f"{ACCOUNT}/keys/{key['private_key_id']}", publicKeyType="TYPE_X509_PEM_FILE")
    certificate = load_pem_x509_certificate(base64.b64decode(shown["publicKeyData"]))
    certificate.verify_directly_issued_by(certificate)
    assert certificate.public_key() == public


def test_a_deleted_key_is_refused(api: Api) -> None:
    made = api.post(f"{ACCOUNT}/keys", {})
    api.delete(f"v1/{made['name']}")
    assert token(api, key_of(made))["error"] == "invalid_grant"
    assert api.get(f"{ACCOUNT}/keys") == {}
    with pytest.raises(Refused, match="does not exist"):
        api.delete(f"v1/{made['name']}")


def test_a_disabled_account_can_do_nothing(api: Api) -> None:
    key = key_of(api.post(f"{ACCOUNT}/keys", {}))
    header = f"Bearer {token(api, key)['access_token']}"
    api.post(f"{ACCOUNT}:disable", {})
    assert api.get(ACCOUNT)["disabled"] is True
    with pytest.raises(Unauthenticated):
        api.identity.principal(header, time.time())
    assert token(api, key)["error"] == "invalid_grant"
    assert api.identity.principal(None, time.time()) == OWNER
    api.post(f"{ACCOUNT}:enable", {})
    assert api.identity.principal(header, time.time()) == EMAIL


def test_a_deleted_account_takes_its_keys_along(api: Api) -> None:
    key = key_of(api.post(f"{ACCOUNT}/keys", {}))
    api.post(f"{ACCOUNT}:setIamPolicy", {"policy": {"bindings": [{"role": "roles/viewer", "members": ["allUsers"]}]}})
    api.delete(ACCOUNT)
    assert token(api, key)["error"] == "invalid_grant"
    api.post(ACCOUNTS, {"accountId": "robot-1"})
    assert api.get(f"{ACCOUNT}/keys") == {}
    assert "bindings" not in api.post(f"{ACCOUNT}:getIamPolicy")


@pytest.mark.behaviour("1.11.1", "1.11.6")
def test_the_roles_of_connectors(api: Api) -> None:
    assert "vpcaccess.connectors.use" in api.get("v1/roles/vpcaccess.user")["includedPermissions"]
    assert "vpcaccess.connectors.use" not in api.get("v1/roles/vpcaccess.viewer")["includedPermissions"]
    assert "roles/vpcaccess.admin" in [one["name"] for one in api.get("v1/roles")["roles"]]
    with pytest.raises(Refused, match=r"The role named roles/none was not found\."):
        api.get("v1/roles/none")
