"""Requests by the host names of services: they go to the front end, and never to an API."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from testbed.control import invocation
from tests.api.harness import Api, Refused
from tests.api.test_functions_v1 import FUNCTIONS, body

HOST = "us-central1-demo.cloudfunctions.net"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What the front end is asked."""
    found: list[tuple[Any, ...]] = []

    def request(_: object, __: object, host: str, method: str, target: str, **given: Any) -> invocation.Answer:
        found.append((host, method, target, given["body"], given["headers"]))
        headers = [("Content-Type", "text/plain"), ("X-Own", "1"), ("Connection", "close"), ("Content-Length", "2")]
        return invocation.Answer(404 if "none" in target else 200, "", headers, b"hi")

    monkeypatch.setattr(invocation, "request", request)
    return found


def test_a_service_is_asked_by_its_host(api: Api, asked: list[tuple[Any, ...]]) -> None:
    headers = {"host": f"{HOST}:443", "x-mine": "a", "connection": "keep-alive", "proxy-authorization": "secret"}
    sent = api.exchange("POST", "hello/a%20b", b"data", query="x=%2F", headers=headers)
    status, answer, shown = asyncio.run(sent)
    assert (status, answer) == (200, b"hi")
    assert asked == [(HOST, "POST", "/hello/a%20b?x=%2F", b"data", {"x-mine": "a"})]
    assert (shown["x-own"], shown["content-type"], shown["content-length"]) == ("1", "text/plain", "2")
    assert "connection" not in shown


@pytest.mark.parametrize(
    "path",
    [
        "token",
        "v1/projects/demo/locations",
        "compute/v1/projects/demo",
        "compute.googleapis.com/compute/v1/projects/demo",
        "http://evil.run.app/compute.googleapis.com/compute/v1/projects/demo",
    ],
)
def test_no_api_is_served_there(api: Api, path: str) -> None:
    status, answer = api.send("GET", path, host="evil.run.app")
    assert status == 503  # there is no front end yet
    assert "front end" in json.loads(answer)["error"]["message"]


def test_a_web_page_asks_nothing(api: Api, asked: list[tuple[Any, ...]]) -> None:
    assert api.send("GET", "hello", host=HOST, headers={"origin": "https://evil.example"})[0] == 403
    assert not asked


def test_a_function_is_called(api: Api, asked: list[tuple[Any, ...]]) -> None:
    api.post(FUNCTIONS, body(api))
    assert api.post(f"{FUNCTIONS}/hello:call", {"data": '{"a": 1}'})["result"] == "hi"
    assert asked[0][:4] == (HOST, "POST", "/hello", b'{"a": 1}')
    with pytest.raises(Refused):
        api.post(f"{FUNCTIONS}/other:call", {"data": ""})
