"""The metadata server with real packets: by whom it is reached, and who is taken for whom (behaviour 4.7.1)."""

from __future__ import annotations

import json
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from threading import Thread
from typing import Any

import google.auth
import google.auth.transport.requests
import jwt
import pytest
import requests
from google.auth import compute_engine

from testbed.api.callers.identity import Identity
from testbed.api.callers.keys import KEYS, SqliteKeys
from testbed.api.frontdoor import namespace_listeners
from testbed.kernel import namespace
from testbed.model.core.projects import compute_account, project_number
from tests.clients.conftest import PROJECT, Served, serving
from tests.clients.spaces import Spaces
from tests.kernel.spaces import sh
from tests.waiting import PATIENCE, QUIET, eventually

SERVER, PORT = "169.254.169.254", 80
LISTENER = f"{SERVER}:{PORT}"
FLAVOR = {"Metadata-Flavor": "Google"}
COMPUTE = f"compute/v1/projects/{PROJECT}"
ZONE = f"{COMPUTE}/zones/us-central1-a"
A, B = (f"{name}@{PROJECT}.iam.gserviceaccount.com" for name in "ab")
RUNNER = f"runner@{PROJECT}.iam.gserviceaccount.com"
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
REGION = "serverless-us-central1"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(namespace_listeners, "_LOOK", 0.05)
        with serving(tmp_path_factory.mktemp("metadata"), patch, f"md{secrets.token_hex(3)}") as made:
            yield made


@pytest.fixture(scope="module")
def net(served: Served) -> Iterator[Spaces]:
    served.network()
    subnet = {"name": "us", "network": "global/networks/vpc", "ipCidrRange": "10.0.0.0/24"}
    served.post(f"{COMPUTE}/regions/us-central1/subnetworks", subnet)
    machine(served, "a", A, metadata={"items": [{"key": "colour-of-it", "value": "green"}]}, tags={"items": ["web"]})
    machine(served, "b", B)
    machine(served, "router", None, canIpForward=True)
    rule = {"name": "nothing", "network": "global/networks/vpc", "direction": "EGRESS", "priority": 0}
    served.post(f"{COMPUTE}/global/firewalls", {**rule, "denied": [{"IPProtocol": "all"}]})
    served.connector("c1", "10.8.0.0/28")
    for name, account in (("relay", RUNNER), ("other", None)):
        template: dict[str, Any] = {"containers": [{"image": "testbed/runtime"}]}
        template["vpcAccess"] = {
            "connector": f"projects/{PROJECT}/locations/us-central1/connectors/c1",
            "egress": "ALL_TRAFFIC",
        }
        body = {"template": {**template, **({"serviceAccount": account} if account else {})}}
        served.post(f"v2/projects/{PROJECT}/locations/us-central1/services", body, serviceId=name)
    with ExitStack() as stack:
        made = Spaces(served, stack)
        for segment in ("vpc-vpc", REGION):
            eventually(partial(made.listens, segment, LISTENER), f"the server listens in {segment}")
        yield made


def machine(served: Served, name: str, account: str | None, **more: Any) -> None:
    nic = {"subnetwork": f"projects/{PROJECT}/regions/us-central1/subnetworks/us"}
    disk = {"boot": True, "initializeParams": {"sourceImage": "projects/debian-cloud/global/images/family/debian-12"}}
    body = {"name": name, "networkInterfaces": [nic], "disks": [disk], **more}
    if account:
        body["serviceAccounts"] = [{"email": account, "scopes": [SCOPE]}]
    served.post(f"{ZONE}/instances", body)


def ask(net: Spaces, node: str, path: str, headers: dict[str, str] | None = None) -> tuple[HTTPResponse, str]:
    asked = HTTPConnection("metadata.google.internal", timeout=PATIENCE)
    asked.sock = net.connect(node, SERVER, PORT)
    asked.request("GET", path, headers=FLAVOR if headers is None else headers)
    answer = asked.getresponse()
    return answer, answer.read().decode()


def v1(net: Spaces, node: str, path: str) -> str:
    answer, text = ask(net, node, f"/computeMetadata/v1/{path}")
    assert (answer.status, answer.headers["Metadata-Flavor"]) == (200, "Google"), text
    return text


@pytest.mark.behaviour("4.7.1", "4.2.1")
def test_each_vm_reads_of_itself_whatever_the_firewall_says(net: Spaces) -> None:
    for name, account in (("a", A), ("b", B)):
        assert v1(net, name, "instance/name") == name
        assert v1(net, name, "instance/service-accounts/default/email") == account
    answer, text = ask(net, "a", f"/computeMetadata/v1/instance/service-accounts/{B}/token")
    assert answer.status == 404
    assert "was not found on this server" in text
    found = json.loads(v1(net, "a", "?recursive=true"))
    assert found["project"]["projectId"] == PROJECT
    (nic,) = found["instance"]["networkInterfaces"]
    assert (nic["ip"], nic["gateway"], nic["subnetmask"], nic["mtu"]) == (
        "10.0.0.2",
        "10.0.0.1",
        "255.255.255.0",
        1460,
    )
    assert nic["mac"] == "42:01:0a:00:00:02"
    assert found["instance"]["attributes"] == {"colour-of-it": "green"}
    assert found["instance"]["tags"] == ["web"]
    assert set(found["instance"]["serviceAccounts"]) == {A, "default"}
    assert v1(net, "router", "instance/service-accounts/") == ""
    answer, _ = ask(net, "router", "/computeMetadata/v1/instance/service-accounts/default/token")
    assert answer.status == 404


@pytest.mark.behaviour("4.7.1")
def test_a_runtime_reads_of_itself_and_never_asks_by_its_connector(net: Spaces) -> None:
    assert v1(net, "relay", "instance/region") == f"projects/{project_number(PROJECT)}/regions/us-central1"
    assert v1(net, "relay", "instance/service-accounts/default/email") == RUNNER
    assert v1(net, "other", "instance/service-accounts/default/email") == compute_account(PROJECT)
    assert v1(net, "relay", "project/project-id") == PROJECT
    assert len(v1(net, "relay", "instance/id")) == 32
    answer, _ = ask(net, "c1-0001", "/computeMetadata/v1/instance/service-accounts/default/token")
    assert answer.status == 403  # a connector instance is nobody's workload


@pytest.mark.behaviour("4.7.1")
@pytest.mark.parametrize(("node", "account"), [("a", A), ("relay", RUNNER)])
def test_an_access_token_is_the_callers_at_the_door(served: Served, net: Spaces, node: str, account: str) -> None:
    answer, text = ask(net, node, "/computeMetadata/v1/instance/service-accounts/default/token")
    token = json.loads(text)
    assert answer.headers["Content-Type"] == "application/json"
    assert set(token) == {"access_token", "expires_in", "token_type"}
    assert 3500 < token["expires_in"] < 3600
    again = json.loads(v1(net, node, f"instance/service-accounts/{account}/token"))
    assert again["access_token"] == token["access_token"]  # until it is about to end
    bearer = {"Authorization": f"Bearer {token['access_token']}"}
    url = f"{served.endpoint.url}/{COMPUTE}/global/firewalls"
    body = {"name": f"by-{node}", "network": "global/networks/vpc", "allowed": [{"IPProtocol": "tcp"}]}
    assert requests.post(url, json=body, headers=bearer, timeout=PATIENCE).status_code == 200
    written = (served.control.store.folder / "audit.jsonl").read_text().splitlines()
    last = next(json.loads(line) for line in reversed(written) if "firewalls.insert" in line)
    assert last["protoPayload"]["authenticationInfo"]["principalEmail"] == account
    with SqliteKeys.open(served.control.store.folder / KEYS) as keys:
        Identity(keys).set_disabled(account, disabled=True)
        refused, text = ask(net, node, "/computeMetadata/v1/instance/service-accounts/default/token")
        Identity(keys).set_disabled(account, disabled=False)
    assert refused.status == 403
    assert "disabled" in text


@pytest.mark.behaviour("4.7.1")
def test_an_identity_token_says_who_asks(served: Served, net: Spaces) -> None:
    where = "instance/service-accounts/default/identity"
    answer, _ = ask(net, "a", f"/computeMetadata/v1/{where}")
    assert answer.status == 400
    audience = "https://relay.example/"
    keys = jwt.PyJWKClient(f"{served.endpoint.url}/oauth2/v3/certs")
    for node, account, told in (("a", A, "a"), ("relay", RUNNER, None)):
        token = v1(net, node, f"{where}?audience={audience}&format=full")
        claims = jwt.decode(token, keys.get_signing_key_from_jwt(token), ["RS256"], audience=audience)
        assert claims["email"] == account
        assert claims.get("google", {}).get("compute_engine", {}).get("instance_name") == told


@pytest.mark.behaviour("4.7.1")
def test_the_header_is_demanded_and_a_proxys_is_refused(net: Spaces) -> None:
    answer, text = ask(net, "a", "/computeMetadata/v1/instance/name", {})
    assert (answer.status, answer.headers["Metadata-Flavor"]) == (403, "Google")
    assert "Missing Metadata-Flavor:Google header." in text
    answer, _ = ask(net, "a", "/computeMetadata/v1/instance/name", {**FLAVOR, "X-Forwarded-For": "10.0.0.3"})
    assert answer.status == 403
    answer, text = ask(net, "a", "/", {})
    assert (answer.status, text) == (200, "computeMetadata/\n")  # by which clients find out where they are


@pytest.mark.behaviour("4.7.1")
def test_whoever_waits_for_a_change_gets_it(served: Served, net: Spaces) -> None:
    path = "/computeMetadata/v1/instance/attributes/?recursive=true&wait_for_change=true"
    answer, text = ask(net, "b", f"{path}&last_etag=0")
    etag = answer.headers["ETag"]
    assert (answer.status, json.loads(text)) == (200, {})
    started = time.monotonic()
    answer, text = ask(net, "b", f"{path}&last_etag={etag}&timeout_sec=1")
    assert (answer.headers["ETag"], time.monotonic() - started > 0.9) == (etag, True)
    told: list[str] = []
    waiting = Thread(target=lambda: told.append(ask(net, "b", f"{path}&last_etag={etag}&timeout_sec=60")[1]))
    waiting.start()
    try:
        machine_of = served.get(f"{ZONE}/instances/b")
        items = [{"key": "enable-oslogin", "value": "TRUE"}]
        body = {"fingerprint": machine_of["metadata"]["fingerprint"], "items": items}
        served.post(f"{ZONE}/instances/b/setMetadata", body)
    finally:
        waiting.join(PATIENCE)
    assert json.loads(told[0]) == {"enable-oslogin": "TRUE"}


@pytest.mark.behaviour("4.7.1", "4.1.18")
def test_nobody_gets_in_under_anothers_address(net: Spaces) -> None:
    """Not even a VM that may forward, to which the answers would have to be led."""
    sh(net.paths["router"], "ip address add 10.0.0.2/32 dev lo")  # a's
    try:
        with namespace.socket_in(net.paths["router"], socket.AF_INET, socket.SOCK_STREAM) as forged:
            forged.settimeout(QUIET)
            forged.bind(("10.0.0.2", 0))
            with pytest.raises(TimeoutError):
                forged.connect((SERVER, PORT))
    finally:
        sh(net.paths["router"], "ip address del 10.0.0.2/32 dev lo")


@pytest.mark.behaviour("4.7.1")
def test_one_vm_does_not_keep_another_from_its_own(net: Spaces) -> None:
    held = [net.connect("b", SERVER, PORT) for _ in range(40)]
    answers = []
    for connection in held[-2:]:
        asked = HTTPConnection("x")
        asked.sock = connection
        asked.request("GET", "/computeMetadata/v1/instance/name", headers=FLAVOR)
        answers.append(asked.getresponse().status)
    assert answers == [503, 503]
    assert v1(net, "a", "instance/name") == "a"
    for connection in held:
        connection.close()
    eventually(lambda: ask(net, "b", "/")[0].status == 200, "it has room again")


@pytest.mark.behaviour("4.7.1")
def test_googles_library_finds_out_who_it_is(net: Spaces, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """google.auth.default, as it is in a VM without any file or variable."""
    for variable in ("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_CLOUD_PROJECT", "CLOUDSDK_CONFIG", "NO_GCE_CHECK"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("google.auth.compute_engine._metadata._GCE_METADATA_HOST", SERVER)

    def default() -> tuple[Any, Any, Any]:
        credentials, project = google.auth.default(scopes=[SCOPE])
        assert isinstance(credentials, compute_engine.Credentials)
        credentials.refresh(google.auth.transport.requests.Request())
        return credentials.service_account_email, credentials.token, project

    email, token, project = namespace.inside(net.paths["a"], default)
    assert (email, project) == (A, PROJECT)
    assert token == json.loads(v1(net, "a", "instance/service-accounts/default/token"))["access_token"]


def test_what_is_no_request_is_told_so(net: Spaces) -> None:
    connection = net.connect("a", SERVER, PORT)
    connection.sendall(b"\x16\x03\x01 what is this\r\n\r\n")
    assert connection.recv(100).startswith(b"HTTP/1.1 400 ")
