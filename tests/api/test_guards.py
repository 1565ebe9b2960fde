"""What is refused before anything is looked at: foreign hosts, web pages, bodies over the limit."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from testbed.api.callers.identity import OWNER
from testbed.api.calls.raw import Uploads
from testbed.api.wire.rest import LIMIT, Message, Patience, Rest
from tests.api.harness import HOST, Api, Refused
from tests.waiting import PATIENCE

NETWORKS = "compute/v1/projects/demo/global/networks"


@pytest.mark.parametrize("host", ["evil.example", "googleapis.com.evil.example", "10.0.0.1:7667", "169.254.169.254"])
def test_a_foreign_host_is_refused(api: Api, host: str) -> None:
    """A name that an attacker has made lead to 127.0.0.1 (DNS rebinding)."""
    status, body = api.send("GET", NETWORKS, host=host)
    assert status == 403
    assert json.loads(body)["error"]["message"].endswith("the testbed does not answer for it")


@pytest.mark.parametrize("host", ["127.0.0.1:7667", "localhost", "[::1]:7667", "compute.googleapis.com"])
def test_this_machine_and_googles_names_are_answered(api: Api, host: str) -> None:
    assert api.send("GET", NETWORKS, host=host)[0] == 200


@pytest.mark.parametrize(
    "headers",
    [{"origin": "https://evil.example"}, {"origin": "http://127.0.0.1:7667"}, {"sec-fetch-site": "cross-site"}],
)
def test_a_web_page_changes_nothing(api: Api, headers: dict[str, str]) -> None:
    body = json.dumps({"name": "vpc", "autoCreateSubnetworks": False}).encode()
    status, _ = api.send("POST", NETWORKS, body, headers=headers)
    assert status == 403
    assert api.get(NETWORKS).get("items") is None


def test_a_body_over_the_limit_is_refused(api: Api) -> None:
    status, body = api.send("POST", NETWORKS, b" " * (LIMIT + 1))
    assert status == 413
    assert "larger than" in json.loads(body)["error"]["message"]


@pytest.mark.parametrize("patience", [Patience(part=0.05), Patience(part=PATIENCE, whole=0.05)])
def test_a_body_that_does_not_come_is_not_waited_for(api: Api, patience: Patience) -> None:
    """Nor one that comes byte by byte."""
    rest = Rest(api.dispatcher, lambda _: OWNER, Uploads(api.store.folder, api.plane, api.identity), patience)

    async def receive() -> Message:
        await asyncio.sleep(0.01 if patience.whole < patience.part else PATIENCE)
        return {"type": "http.request", "body": b" ", "more_body": True}

    status, body, headers = asyncio.run(api.exchange("POST", NETWORKS, rest=rest, receive=receive))
    assert status == 408
    assert json.loads(body)["error"]["message"] == "request: its body did not come in time"
    assert headers["connection"] == "close"


DEEP = b'{"a":' * 101 + b"1" + b"}" * 101


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[" * 100_000,
        b'"text"',
        b"\xff\xfe",
        b"[1]",
        DEEP,
        b'{"name": "\\ud800"}',
        b'{"name": NaN}',
        b'{"mtu": 1e999}',
        b'{"name": "\xed\xa0\x80"}',
        '{"name": "vpc"}'.encode("utf-16"),
    ],
)
def test_what_is_not_a_json_object_is_refused(api: Api, body: bytes) -> None:
    status, answer = api.send("POST", NETWORKS, body)
    assert status == 400
    assert json.loads(answer)["error"]["message"].startswith("Invalid JSON payload received.")


def test_a_proxys_request_names_its_host_in_the_first_line(api: Api) -> None:
    status, body = api.send("GET", f"http://compute.googleapis.com/{NETWORKS}", host="compute.googleapis.com")
    assert (status, json.loads(body)["kind"]) == (200, "compute#networkList")


def test_an_unknown_path_is_not_found(api: Api) -> None:
    with pytest.raises(Refused, match="method GET /v1/nothing: not found") as caught:
        api.get("v1/nothing")
    assert caught.value.code == 404


def test_a_method_that_is_not_built_is_named(api: Api) -> None:
    with pytest.raises(Refused, match=r"method compute\.acceleratorTypes\.aggregatedList") as caught:
        api.get("compute/v1/projects/demo/aggregated/acceleratorTypes")
    assert (caught.value.code, caught.value.status) == (501, "UNIMPLEMENTED")


def test_an_unknown_field_is_named(api: Api) -> None:
    with pytest.raises(Refused, match='Unknown name "colour": Cannot find field') as caught:
        api.post(NETWORKS, {"name": "vpc", "colour": "red"})
    assert caught.value.code == 400


def test_an_unknown_query_parameter_is_named(api: Api) -> None:
    with pytest.raises(Refused, match='Unknown name "colour": Cannot bind query parameter'):
        api.get(NETWORKS, colour="red")


def test_too_many_parameters_are_refused(api: Api) -> None:
    status, body = api.send("GET", NETWORKS, query="filter=a&" * 1001)
    assert (status, "more than 1000" in json.loads(body)["error"]["message"]) == (400, True)


@pytest.mark.parametrize("target", ["//[", "//example.com/x", "http://[/x", "*"])
def test_a_target_that_is_no_path_is_refused(api: Api, target: str) -> None:
    """Whatever it is, the answer is one of ours, and the host is that of the request."""
    status, body = asyncio.run(_raw(api, target))
    assert status in {403, 404}
    assert json.loads(body)["error"]["code"] == status


async def _raw(api: Api, target: str) -> tuple[int, bytes]:
    scope = {
        "type": "http",
        "method": "GET",
        "path": target,
        "raw_path": target.encode(),
        "query_string": b"",
        "headers": [(b"host", b"localhost")],
    }
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await api.rest(scope, receive, send)
    return sent[0]["status"], sent[1]["body"]


@pytest.mark.parametrize(
    ("verb", "path", "code", "keys"),
    [
        ("GET", "compute/v1/projects/demo/global/networks/none", 404, {"code", "message", "errors"}),
        ("GET", "dns/v1/projects/demo/managedZones/none", 404, {"code", "message", "errors"}),
        ("GET", "storage/v1/b/none", 404, {"code", "message", "errors"}),
        ("POST", "compute/v1/projects/demo/global/networks", 400, {"code", "message", "errors", "status"}),
        ("GET", "v1/projects/demo/locations/us-central1/connectors/none", 404, {"code", "message", "status"}),
        ("GET", "v1/projects/demo/locations/us-central1/instances/none", 404, {"code", "message", "status"}),
        ("GET", "v2/projects/demo/locations/us-central1/services/none", 404, {"code", "message", "status"}),
        ("GET", "v1/projects/demo/locations/global/connectivityTests/none", 404, {"code", "message", "status"}),
        ("GET", "v1/projects/demo/serviceAccounts/none", 404, {"code", "message", "errors", "status"}),
    ],
)
def test_errors_have_the_fields_that_google_s_have(api: Api, verb: str, path: str, code: int, keys: set[str]) -> None:
    """Compute, DNS and storage have a list and no status, unless Google's front end refuses; IAM has both."""
    status, answer = api.send(verb, path, b'{"unknown": 1}' if verb == "POST" else b"")
    error = json.loads(answer)["error"]
    assert (status, set(error)) == (code, keys)


@pytest.mark.parametrize(
    ("path", "host", "served"),
    [
        ("compute/alpha/projects/demo/global/networks", HOST, "v1"),
        ("compute/beta/projects/demo/global/networks", HOST, "v1"),
        ("v1alpha1/projects/demo/locations/us-central1/connectors", "vpcaccess.googleapis.com", "v1, v1beta1"),
        ("dns/v2/projects/demo/locations/global/managedZones", HOST, "v1, v1beta2"),
    ],
)
def test_a_version_that_is_not_served_is_named(api: Api, path: str, host: str, served: str) -> None:
    with pytest.raises(Refused, match=rf"version \w+ of the API: .*; the testbed serves {served}$") as caught:
        api.call("GET", path, host=host)
    assert caught.value.code == 501


def test_two_apis_are_served_in_a_second_version(api: Api) -> None:
    zone = {"name": "z", "dnsName": "example.org.", "description": ""}
    made = api.post("dns/v1beta2/projects/demo/managedZones", zone)
    assert api.get("dns/v1/projects/demo/managedZones/z") == made
    service, host = "projects/demo/services/redis.googleapis.com", "serviceusage.googleapis.com"
    assert api.call("GET", f"v1beta1/{service}", host=host) == api.call("GET", f"v1/{service}", host=host)
    noop = api.call("POST", f"v1beta1/{service}:enable", {}, host=host)
    assert noop["done"] is True
    assert api.call("GET", f"v1beta1/{noop['name']}", host=host)["done"] is True
    assert api.call("GET", f"v1/{noop['name']}", host=host)["done"] is True


def test_a_caller_may_ask_for_a_part_of_the_answer(api: Api) -> None:
    network = {"name": "vpc", "autoCreateSubnetworks": False}
    networks = "compute/v1/projects/demo/global/networks"
    api.post(networks, network)
    assert api.get(networks, fields="items(name)") == {"items": [{"name": "vpc"}]}
    with pytest.raises(Refused, match="Invalid field selection colour"):
        api.call("POST", networks, {**network, "name": "other"}, fields="colour")
    assert api.get(networks, fields="items/name") == {"items": [{"name": "vpc"}]}  # the call was not carried out


def test_an_aggregated_list_has_the_scopes_that_are_asked_for(api: Api) -> None:
    kinds = {
        flag: {
            scope.partition("/")[0]
            for scope in api.get("compute/v1/projects/demo/aggregated/addresses", **query)["items"]
        }
        for flag, query in {"": {}, "all": {"includeAllScopes": "true", "returnPartialSuccess": "true"}}.items()
    }
    assert kinds["all"] == {"global", "regions", "zones"}
    assert kinds[""] <= {"global", "regions"}
