"""Service accounts as Google's own client library sees them, and those who only claim to be one."""

from __future__ import annotations

import json
import logging
import sqlite3
import stat
from collections.abc import Iterator, Mapping
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import google.auth.transport
import jwt
import pytest
from google.oauth2 import id_token, service_account

from testbed.api.callers import keyfile
from testbed.api.callers.identity import JWT_BEARER, OWNER, Identity
from testbed.api.callers.keyfile import TOKEN_URI, unique_id
from testbed.api.callers.keys import PublicKey, SqliteKeys
from testbed.api.callers.owner_token import owner_token
from testbed.errors import NotFound, Unauthenticated, Unavailable

EMAIL, OTHER = "deployer@demo.iam.gserviceaccount.com", "viewer@demo.iam.gserviceaccount.com"
NOW = 1_800_000_000.0
SCOPE = "https://www.googleapis.com/auth/cloud-platform"


@pytest.fixture(scope="module")
def made() -> Mapping[str, tuple[dict[str, str], PublicKey]]:
    """A key of each account: they take long to make."""
    return {email: keyfile.make(email, "demo") for email in (EMAIL, OTHER)}


@pytest.fixture
def keys(tmp_path: Path) -> Iterator[SqliteKeys]:
    with SqliteKeys.open(tmp_path / "keys.db") as keys:
        yield keys


@pytest.fixture
def identity(keys: SqliteKeys, made: Mapping[str, tuple[dict[str, str], PublicKey]]) -> Identity:
    for _, public in made.values():
        keys.add(public)
    return Identity(keys)


@pytest.fixture
def key(made: Mapping[str, tuple[dict[str, str], PublicKey]]) -> dict[str, str]:
    return made[EMAIL][0]


def signed(key: Mapping[str, str], algorithm: str = "RS256", secret: str | None = None, **changes: Any) -> str:
    """An assertion of this key's account, with changes; None takes a claim, or the key's id, away."""
    claims = {"iss": EMAIL, "iat": NOW, "exp": NOW + 3600, "aud": TOKEN_URI, "scope": SCOPE} | changes
    key_id = claims.pop("kid", key["private_key_id"])
    return jwt.PyJWS().encode(  # jwt.encode signs no claims that are against the rules
        json.dumps({name: value for name, value in claims.items() if value is not None}).encode(),
        key["private_key"] if secret is None else secret,
        algorithm,
        headers={"kid": key_id} if key_id else None,
    )


def grant(identity: Identity, assertion: str, now: float = NOW) -> dict[str, Any]:
    return identity.exchange({"grant_type": JWT_BEARER, "assertion": assertion}, now)


# -- keys ---------------------------------------------------------------------------------------------------------


def test_a_key_file_is_one_that_google_s_library_takes(keys: SqliteKeys) -> None:
    content = Identity(keys).create_key(EMAIL, "demo")
    read = service_account.Credentials.from_service_account_info(content)  # type: ignore[no-untyped-call]
    assert (read.service_account_email, read.project_id) == (EMAIL, "demo")
    assert content["private_key"].startswith("-----BEGIN PRIVATE KEY-----\n")
    assert content["client_x509_cert_url"].endswith("/deployer%40demo.iam.gserviceaccount.com")
    assert len(content["private_key_id"]) == 40
    assert [found.id for found in keys.of(EMAIL)] == [content["private_key_id"]]


def test_an_account_has_one_number() -> None:
    assert unique_id(EMAIL) == unique_id(EMAIL) != unique_id(OTHER)
    assert all(len(unique_id(f"{n}@x")) == 21 and unique_id(f"{n}@x")[0] == "1" for n in range(50))


def test_secrets_of_others_are_not_kept(keys: SqliteKeys, tmp_path: Path) -> None:
    identity = Identity(keys)
    key = identity.create_key(EMAIL, "demo")
    token = grant(identity, signed(key))["access_token"]
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert token.encode() not in kept
    assert b"PRIVATE" not in kept
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


# -- the token endpoint -------------------------------------------------------------------------------------------


class Endpoint(google.auth.transport.Request):
    """What google-auth would reach over HTTPS."""

    def __init__(self, identity: Identity) -> None:
        self.identity = identity

    def __call__(
        self, url: Any, method: Any = "GET", body: Any = None, headers: Any = None, timeout: Any = None, **kwargs: Any
    ) -> Any:
        del headers, timeout, kwargs
        if url == TOKEN_URI:
            assert method == "POST"
            form = dict(parse_qsl(body.decode()))
            claims = jwt.decode(form["assertion"], options={"verify_signature": False})
            return Answer(self.identity.exchange(form, claims["iat"]))
        return Answer(self.identity.public_keys())


class Answer(google.auth.transport.Response):
    def __init__(self, body: Any) -> None:
        self._body = body

    @property
    def status(self) -> int:
        return 400 if "error" in self._body else 200

    @property
    def headers(self) -> Mapping[str, str]:
        return {}

    @property
    def data(self) -> bytes:
        return json.dumps(self._body).encode()


def test_google_s_library_gets_a_token_that_names_the_account(identity: Identity, key: dict[str, str]) -> None:
    credentials = service_account.Credentials.from_service_account_info(key, scopes=[SCOPE])  # type: ignore[no-untyped-call]
    credentials.refresh(Endpoint(identity))
    issued = credentials.expiry.timestamp() - 3599
    assert identity.principal(f"Bearer {credentials.token}", issued) == EMAIL


def test_google_s_library_gets_an_id_token_and_verifies_it(identity: Identity, key: dict[str, str]) -> None:
    credentials = service_account.IDTokenCredentials.from_service_account_info(  # type: ignore[no-untyped-call]
        key, target_audience="https://hello.run.app"
    )
    endpoint = Endpoint(identity)
    credentials.refresh(endpoint)
    certs = "https://www.googleapis.com/oauth2/v3/certs"
    claims = id_token.verify_token(credentials.token, endpoint, "https://hello.run.app", certs)
    assert (claims["email"], claims["sub"], claims["iss"]) == (EMAIL, unique_id(EMAIL), "https://accounts.google.com")
    with pytest.raises(jwt.InvalidAudienceError):
        id_token.verify_token(credentials.token, endpoint, "https://other.run.app", certs)


def test_the_answer_of_the_endpoint(identity: Identity, key: dict[str, str]) -> None:
    answer = grant(identity, signed(key))
    assert {name: answer[name] for name in answer if name != "access_token"} == {
        "expires_in": 3599,
        "token_type": "Bearer",
    }
    assert list(grant(identity, signed(key, target_audience="x"))) == ["id_token"]


@pytest.mark.parametrize(
    "changes",
    [
        {"kid": None},
        {"sub": EMAIL},
        {"aud": "https://www.googleapis.com/oauth2/v4/token"},
        {"iat": NOW + 59, "exp": NOW + 3600},
        {"iat": NOW - 3600 - 59, "exp": NOW - 59},
    ],
)
def test_what_the_endpoint_takes(identity: Identity, key: dict[str, str], changes: dict[str, Any]) -> None:
    assert "access_token" in grant(identity, signed(key, **changes))


@pytest.mark.parametrize(
    ("changes", "error", "description"),
    [
        ({"iss": "nobody@demo.iam.gserviceaccount.com"}, "invalid_grant", "account not found"),
        ({"iss": OTHER}, "invalid_grant", "Invalid JWT Signature"),
        ({"iss": OTHER, "kid": None}, "invalid_grant", "Invalid JWT Signature"),
        ({"iss": None}, "invalid_grant", "account not found"),
        ({"iss": ["a"]}, "invalid_grant", "account not found"),
        ({"kid": "0" * 40}, "invalid_grant", "Invalid JWT Signature"),
        ({"aud": "https://vpcaccess.googleapis.com/"}, "invalid_grant", "audience check"),
        ({"aud": [TOKEN_URI]}, "invalid_grant", "audience check"),
        ({"aud": None}, "invalid_grant", "audience check"),
        ({"iat": NOW + 61}, "invalid_grant", "short-lived"),
        ({"exp": NOW - 61, "iat": NOW - 3000}, "invalid_grant", "short-lived"),
        ({"exp": NOW + 3601}, "invalid_grant", "short-lived"),
        ({"exp": None}, "invalid_grant", "short-lived"),
        ({"iat": None}, "invalid_grant", "short-lived"),
        ({"exp": str(NOW + 60)}, "invalid_grant", "short-lived"),
        ({"exp": float("nan")}, "invalid_grant", "short-lived"),
        ({"iat": float("nan")}, "invalid_grant", "short-lived"),
        ({"exp": 10**400}, "invalid_grant", "short-lived"),
        ({"iat": -(10**400)}, "invalid_grant", "short-lived"),
        ({"sub": "somebody@example.com"}, "unauthorized_client", "unauthorized"),
        ({"sub": [EMAIL]}, "unauthorized_client", "unauthorized"),
        ({"scope": None}, "invalid_scope", "scope"),
        ({"scope": None, "target_audience": ["x"]}, "invalid_scope", "scope"),
    ],
)
def test_what_the_endpoint_refuses(
    identity: Identity, key: dict[str, str], changes: dict[str, Any], error: str, description: str
) -> None:
    answer = grant(identity, signed(key, **changes))
    assert set(answer) == {"error", "error_description"}
    assert answer["error"] == error
    assert description in answer["error_description"]


def test_no_other_algorithm_will_do(
    identity: Identity, key: dict[str, str], made: Mapping[str, tuple[dict[str, str], PublicKey]]
) -> None:
    other = made[OTHER][0]
    for forged in (
        signed(key, "none", ""),
        signed(key, "HS256", "k" * 32),
        signed(key, "RS512"),
        signed(key, secret=other["private_key"]),
        signed(key)[:-4] + "AAAA",
    ):
        assert grant(identity, forged)["error_description"] == "Invalid JWT Signature."


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({}, "invalid_request"),
        ({"grant_type": JWT_BEARER}, "invalid_request"),
        ({"grant_type": "refresh_token", "refresh_token": "x"}, "unsupported_grant_type"),
        ({"grant_type": JWT_BEARER, "assertion": "garbage"}, "invalid_grant"),
        ({"grant_type": JWT_BEARER, "assertion": "a.b.c"}, "invalid_grant"),
    ],
)
def test_forms_that_are_none(identity: Identity, form: dict[str, str], error: str) -> None:
    assert identity.exchange(form, NOW)["error"] == error


# -- principals ---------------------------------------------------------------------------------------------------


def refused(identity: Identity, token: str, now: float = NOW) -> bool:
    with pytest.raises(Unauthenticated, match="Request had invalid authentication credentials"):
        identity.principal(f"Bearer {token}", now)
    return True


@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", "Bearer local", "Bearer ya29.a0AfH6", "Basic eDp5", "Bearer a.b.c", "Bearer " + "[" * 9],
)
def test_who_claims_nothing_is_the_owner(identity: Identity, header: str | None) -> None:
    assert identity.principal(header, NOW) == OWNER


def test_a_real_account_of_google_s_is_no_one_here(
    keys: SqliteKeys, key: dict[str, str], made: Mapping[str, tuple[dict[str, str], PublicKey]]
) -> None:
    keys.add(made[OTHER][1])
    assert Identity(keys).principal(f"Bearer {signed(key)}", NOW) == OWNER


def test_an_access_token_holds_an_hour(identity: Identity, key: dict[str, str]) -> None:
    token = grant(identity, signed(key))["access_token"]
    for header in (f"Bearer {token}", f"bearer  {token} "):
        assert identity.principal(header, NOW + 3599) == EMAIL
    assert refused(identity, token, NOW + 3600)


def test_an_access_token_that_was_never_issued(identity: Identity, key: dict[str, str]) -> None:
    token = grant(identity, signed(key))["access_token"]
    assert refused(identity, token[:-1] + ("a" if token[-1] != "a" else "b"))


def test_expired_tokens_are_forgotten(identity: Identity, key: dict[str, str], tmp_path: Path) -> None:
    old = grant(identity, signed(key))["access_token"]
    grant(identity, signed(key, iat=NOW + 3600, exp=NOW + 7200), NOW + 3600)
    connection = sqlite3.connect(tmp_path / "keys.db")
    assert connection.execute("SELECT count(*) FROM access_tokens").fetchone() == (1,)
    connection.close()
    assert refused(identity, old, NOW + 3600)


@pytest.mark.parametrize(("audience", "scopes"), [("https://vpcaccess.googleapis.com/", None), (None, [SCOPE])])
def test_google_s_library_signs_for_itself(
    identity: Identity, key: dict[str, str], audience: str | None, scopes: list[str] | None
) -> None:
    credentials = service_account.Credentials.from_service_account_info(key, scopes=scopes)  # type: ignore[no-untyped-call]
    credentials = credentials.with_always_use_jwt_access(True)
    credentials._create_self_signed_jwt(audience)
    credentials.refresh(None)
    now = credentials.expiry.timestamp() - 3600
    assert identity.principal(f"Bearer {credentials.token}", now) == EMAIL
    assert refused(identity, credentials.token, now + 3700)


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": OTHER},
        {"iss": "nobody@example.com"},  # the key's id is one of ours
        {"kid": "0" * 40},
        {"sub": OTHER},
        {"aud": TOKEN_URI},
        {"exp": NOW - 61, "iat": NOW - 3000},
        {"exp": NOW + 10 * 3600},
    ],
)
def test_who_claims_to_be_an_account_must_be_it(
    identity: Identity, key: dict[str, str], changes: dict[str, Any]
) -> None:
    good = {"aud": "https://vpcaccess.googleapis.com/", "sub": EMAIL}
    assert identity.principal(f"Bearer {signed(key, **good)}", NOW) == EMAIL
    assert refused(identity, signed(key, **good | changes))


def test_a_forged_signature_is_no_account_s(identity: Identity, key: dict[str, str]) -> None:
    for forged in (signed(key, "none", "", aud=None), signed(key, "HS256", "k" * 32, aud=None)):
        assert refused(identity, forged)


def test_what_a_deleted_key_signs_does_not_pass_for_the_owner_s(
    identity: Identity, keys: SqliteKeys, key: dict[str, str]
) -> None:
    token = signed(key, aud=None)
    assert identity.principal(f"Bearer {token}", NOW) == EMAIL
    keys.delete(key["private_key_id"])
    assert refused(identity, token)
    assert grant(identity, signed(key))["error_description"] == "Invalid JWT Signature."
    assert [found.deleted for found in keys.of(EMAIL)] == [True]


def test_an_id_token_is_no_leave_to_call_an_api(identity: Identity, key: dict[str, str]) -> None:
    assert refused(identity, grant(identity, signed(key, target_audience="x"))["id_token"])


def test_tokens_are_in_no_log(identity: Identity, key: dict[str, str], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    token = grant(identity, signed(key))["access_token"]
    with pytest.raises(Unauthenticated) as said:
        identity.principal(f"Bearer {token}", NOW + 9999)
    assert token not in caplog.text + str(said.value) + repr(vars(said.value))


# -- what is kept -------------------------------------------------------------------------------------------------


def test_what_is_kept_outlives_the_process(
    tmp_path: Path, made: Mapping[str, tuple[dict[str, str], PublicKey]]
) -> None:
    content, public = made[EMAIL]
    with SqliteKeys.open(tmp_path / "keys.db") as keys:
        keys.add(public)
        first = Identity(keys)
        token, verified_with = grant(first, signed(content))["access_token"], first.public_keys()
    with SqliteKeys.open(tmp_path / "keys.db") as keys:
        again = Identity(keys)
        assert again.principal(f"Bearer {token}", NOW) == EMAIL
        assert again.principal(f"Bearer {signed(content, aud=None)}", NOW) == EMAIL
        assert again.public_keys() == verified_with


def test_a_connection_of_the_caller_s_will_do(made: Mapping[str, tuple[dict[str, str], PublicKey]]) -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    keys = SqliteKeys(connection)
    keys.add(made[EMAIL][1])
    assert SqliteKeys(connection).get(made[EMAIL][1].id) == made[EMAIL][1]
    connection.close()


def test_a_key_that_is_not_there(keys: SqliteKeys, made: Mapping[str, tuple[dict[str, str], PublicKey]]) -> None:
    public = made[EMAIL][1]
    assert keys.get(public.id) is None
    keys.add(public)
    keys.delete(public.id)
    for missing in (public.id, "x"):
        with pytest.raises(NotFound, match=missing):
            keys.delete(missing)


def test_a_file_that_is_no_database_is_said(tmp_path: Path) -> None:
    (tmp_path / "keys.db").write_bytes(b"garbage" * 1000)
    with pytest.raises(Unavailable, match="not a database"), SqliteKeys.open(tmp_path / "keys.db"):
        pass
    with pytest.raises(Unavailable, match="nowhere"), SqliteKeys.open(tmp_path / "nowhere" / "keys.db"):
        pass


def test_of_two_keys_of_our_own_made_at_once_one_is_kept(keys: SqliteKeys, tmp_path: Path) -> None:
    with SqliteKeys.open(tmp_path / "keys.db") as other:

        def make() -> str:
            other.signing_key(lambda: "theirs")
            return "ours"

        assert keys.signing_key(make) == other.signing_key(make) == "theirs"


def write(file: Path, name: str) -> None:
    with SqliteKeys.open(file) as keys:
        for number in range(20):
            keys.add(PublicKey(f"{name}-{number}", name, "pem"))
            keys.add_token(f"{name}-{number}".encode(), name, NOW, now=0)
        keys.signing_key(lambda: name)


def test_several_processes_write(tmp_path: Path) -> None:
    file = tmp_path / "keys.db"
    writers = [get_context("spawn").Process(target=write, args=(file, name)) for name in ("a", "b")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0]
    with SqliteKeys.open(file) as keys:
        assert (len(keys.of("a")), len(keys.of("b"))) == (20, 20)
        assert keys.token(b"b-19") == ("b", NOW)
        assert keys.signing_key(lambda: "c") in {"a", "b"}


def test_the_owner_of_another_testbed_is_refused(keys: SqliteKeys) -> None:
    """A client that was pointed at a testbed which is gone, and whose port another one has by now."""
    identity = Identity(keys, owner_token("shop", "id-1"))
    for token in (owner_token("shop", "id-1"), "testbed", "ya29.google"):
        assert identity.principal(f"Bearer {token}", NOW) == OWNER
    assert identity.principal(None, NOW) == OWNER
    with pytest.raises(Unauthenticated, match="for testbed 'old', and this is testbed 'shop'"):
        identity.principal(f"Bearer {owner_token('old', 'id-0')}", NOW)
    with pytest.raises(Unauthenticated, match="for testbed 'shop' of an earlier time"):
        identity.principal(f"Bearer {owner_token('shop', 'id-0')}", NOW)
