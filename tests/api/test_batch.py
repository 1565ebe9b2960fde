"""Several calls in one request, as gcloud sends them."""

from __future__ import annotations

import json
from email import message_from_bytes

import pytest

from testbed.api.wire import batch
from testbed.errors import InvalidArgument
from tests.api.harness import Api

PATH = "batch/compute/v1"
KIND = 'multipart/mixed; boundary="===b=="'
NETWORKS = "/compute/v1/projects/demo/global/networks"


def written(*calls: str) -> bytes:
    """A batch as google-apitools writes it."""
    parts = [
        f"--===b==\r\nContent-Type: application/http\r\nMIME-Version: 1.0\r\nContent-Transfer-Encoding: binary\r\n"
        f"Content-ID: <abc+{index}>\r\n\r\n{call}\r\n"
        for index, call in enumerate(calls)
    ]
    return "".join([*parts, "--===b==--"]).encode()


def post(path: str, body: object) -> str:
    return f"POST {path} HTTP/1.1\r\nContent-Type: application/json\r\nMIME-Version: 1.0\r\n\r\n{json.dumps(body)}"


def test_each_call_has_its_own_answer(api: Api) -> None:
    calls = [
        post(NETWORKS, {"name": "a", "autoCreateSubnetworks": False}),
        post(NETWORKS, {"name": "Wrong"}),
        f"GET {NETWORKS}/none?alt=json HTTP/1.1\r\nHost: 127.0.0.1:7667\r\n\r\n",
    ]
    status, answer = api.send("POST", PATH, written(*calls), headers={"content-type": KIND})
    assert status == 200
    boundary = answer.split(b"\r\n", 1)[0][2:]
    message = message_from_bytes(b"Content-Type: multipart/mixed; boundary=" + boundary + b"\r\n\r\n" + answer)
    found = {}
    for part in message.walk():
        if part.is_multipart():
            continue
        line, _, rest = str(part.get_payload()).partition("\r\n")
        found[part["Content-ID"]] = (line.split(" ", 2)[1], json.loads(rest.partition("\r\n\r\n")[2]))
    assert {key: value[0] for key, value in found.items()} == {
        "<response-abc+0>": "200",
        "<response-abc+1>": "400",
        "<response-abc+2>": "404",
    }
    assert found["<response-abc+0>"][1]["kind"] == "compute#operation"
    assert "Must be a match of regex" in found["<response-abc+1>"][1]["error"]["message"]
    assert api.get(f"{NETWORKS[1:]}/a")["name"] == "a"


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", b"{}"),
        (KIND, b"nothing"),
        (KIND, written("hello")),
        (KIND, written("GET /x\r\nX-Name: \u00fc\r\n\r\n")),
        (
            "multipart/mixed; boundary=b0",
            b"".join(b"--b%d\r\nContent-Type: multipart/mixed; boundary=b%d\r\n\r\n" % (n, n + 1) for n in range(2000)),
        ),
        (KIND, written(*["GET /x"] * (batch.LARGEST + 1))),
    ],
)
def test_what_is_no_batch_is_refused(kind: str, body: bytes) -> None:
    with pytest.raises(InvalidArgument):
        batch.read(kind, body)


def test_a_part_for_another_host_is_refused(api: Api) -> None:
    call = f"GET {NETWORKS} HTTP/1.1\r\nHost: example.com\r\n\r\n"
    _, answer = api.send("POST", PATH, written(call), headers={"content-type": KIND})
    assert b"HTTP/1.1 403" in answer


@pytest.mark.parametrize(
    "path", ["/batch/compute/v1", "/compute.googleapis.com/batch", "/%62atch", "http://localhost/batch"]
)
def test_a_batch_in_a_batch_is_refused(api: Api, path: str) -> None:
    status, answer = api.send("POST", PATH, written(post(path, {})), headers={"content-type": KIND})
    assert status == 400
    assert b"a batch in a batch" in answer


def test_a_part_whose_target_is_no_url_is_refused_alone(api: Api) -> None:
    calls = ["GET http://[/x HTTP/1.1\r\n\r\n", f"GET {NETWORKS} HTTP/1.1\r\n\r\n"]
    _, answer = api.send("POST", PATH, written(*calls), headers={"content-type": KIND})
    assert [answer.count(line) for line in (b"HTTP/1.1 403", b"HTTP/1.1 200")] == [1, 1]
