"""What the metadata server answers, and how a tree of metadata is printed (behaviour 4.7.1)."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable

import pytest

from testbed.api.metadata import answers, tree
from testbed.api.metadata.tree import Given, Lines, Listed, Made
from testbed.api.metadata.wire import HEAD_LIMIT, MetadataRequest, Reply, converse

FLAVOR = {"metadata-flavor": "Google"}
V1 = "/computeMetadata/v1/"
TREE: tree.Entry = {
    "instance": {
        "attributes": Given({"start-up": "echo 1\necho 2", "empty": ""}),
        "machine-type": "e2",
        "id": 7,
        "disks": [{"device-name": "boot", "index": 0}],
        "forwarded-ips": [],
        "tags": Listed(("web", "db")),
        "service-accounts": Given(
            {
                "a-b@p.iam.gserviceaccount.com": {"scopes": Lines(("x", "y")), "token": Made("token")},
            }
        ),
    },
}


def asked(target: str, headers: dict[str, str] | None = None, method: str = "GET") -> MetadataRequest:
    return MetadataRequest(method, target, FLAVOR if headers is None else headers)


def found(path: str) -> Reply:
    answer = answers.looked_up(asked(V1 + path), TREE)
    assert isinstance(answer, Reply)
    return answer


@pytest.mark.behaviour("4.7.1")
@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("", "instance/\n"),
        ("instance/", "attributes/\nmachine-type\nid\ndisks/\nforwarded-ips/\ntags\nservice-accounts/\n"),
        ("instance/machine-type", "e2"),
        ("instance/machine-type?alt=json", '"e2"'),
        ("instance/id?alt=json", "7"),
        ("instance/disks/", "0/\n"),
        ("instance/disks/0/device-name", "boot"),
        ("instance/forwarded-ips/", ""),
        ("instance/tags", '["web","db"]'),
        ("instance/attributes/start-up", "echo 1\necho 2"),
        ("instance/attributes/empty", ""),
        ("instance/service-accounts/a-b%40p.iam.gserviceaccount.com/scopes", "x\ny\n"),
        ("instance/service-accounts/a-b@p.iam.gserviceaccount.com/", "scopes\ntoken\n"),
        ("instance/disks/?recursive=true", '[{"deviceName":"boot","index":0}]'),
        ("instance/disks/?recursive=true&alt=text", "0/device-name boot\n0/index 0\n"),
        ("instance/attributes/?recursive=true", '{"start-up":"echo 1\\necho 2","empty":""}'),
        (
            "instance/service-accounts/?recursive=true",
            '{"a-b@p.iam.gserviceaccount.com":{"scopes":["x","y"]}}',
        ),
    ],
)
def test_a_path_is_a_value_or_a_directory(path: str, content: str) -> None:
    answer = found(path)
    assert (answer.status, answer.body.decode()) == (200, content)
    assert answer.headers["Metadata-Flavor"] == "Google"
    is_json = "alt=json" in path or ("recursive=true" in path and "alt=text" not in path)
    assert answer.kind == ("application/json" if is_json else "application/text")
    assert answer.headers["ETag"] == found(path).headers["ETag"]


@pytest.mark.behaviour("4.7.1")
def test_contents_are_told_apart_by_their_etags() -> None:
    assert len({found(path).headers["ETag"] for path in ("", "instance/", "instance/id", "instance/tags")}) == 4


@pytest.mark.behaviour("4.7.1")
@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("instance", 301),
        ("instance/disks?recursive=true", 301),
        ("instance/machine-type/", 404),
        ("nothing", 404),
        ("instance/disks/1/", 404),
        ("instance/machine-type/deeper", 404),
        ("instance/id?alt=xml", 400),
        ("../v1/instance/", 404),
        ("instance//id", 404),
    ],
)
def test_what_is_not_there_is_refused(path: str, status: int) -> None:
    answer = found(path)
    assert answer.status == status
    assert "ETag" not in answer.headers
    if status == 301:
        assert answer.headers["Location"] == V1 + path.replace("?", "/?") + ("" if "?" in path else "/")


@pytest.mark.behaviour("4.7.1")
def test_what_is_made_is_left_to_its_maker() -> None:
    path = f"{V1}instance/service-accounts/a-b@p.iam.gserviceaccount.com/token"
    assert answers.looked_up(asked(path), TREE) == Made("token")


@pytest.mark.behaviour("4.7.1")
@pytest.mark.parametrize(
    ("request_", "status", "text"),
    [
        (asked("/", {}), 200, "computeMetadata/\n"),
        (asked("/computeMetadata/", {}), 200, "v1/\n"),
        (asked("/computeMetadata", {}), 301, "/computeMetadata/"),
        (asked("/computeMetadata/v1"), 301, V1),
        (asked(f"{V1}instance/id", {}), 403, "Missing Metadata-Flavor:Google header."),
        (asked(f"{V1}instance/id", {"metadata-flavor": "other"}), 403, "Missing Metadata-Flavor:Google header."),
        (asked(f"{V1}instance/id", {**FLAVOR, "x-forwarded-for": "10.0.0.9"}), 403, "X-Forwarded-For"),
        (asked(f"{V1}instance/id", method="POST"), 405, "POST"),
        (asked("/latest/meta-data/"), 404, "<code>/latest/meta-data/</code> was not found on this server"),
        (asked("/<script>"), 404, "<code>/&lt;script&gt;</code>"),
    ],
)
def test_what_is_answered_whoever_asks(request_: MetadataRequest, status: int, text: str) -> None:
    answer = answers.refusal(request_)
    assert answer is not None
    assert answer.status == status
    assert text in answer.body.decode()
    assert answer.headers["Metadata-Flavor"] == "Google"


@pytest.mark.parametrize("target", [f"{V1}x", f"http://metadata.google.internal{V1}x"])
def test_the_rest_is_about_the_caller(target: str) -> None:
    assert answers.refusal(asked(target)) is None
    assert answers.path_of(asked(target)) == f"{V1}x"


def talk(sent: bytes, respond: Callable[[MetadataRequest], Reply], patience: float = 30.0) -> bytes:
    """All that a client gets that sends something, and then no more."""

    async def run() -> bytes:
        client, server = socket.socketpair()
        client.setblocking(False)
        server.setblocking(False)

        async def answer(request: MetadataRequest) -> Reply:
            return respond(request)

        task = asyncio.create_task(converse(server, answer, answers.malformed, patience))
        reader, writer = await asyncio.open_connection(sock=client)
        writer.write(sent)
        writer.write_eof()
        received = await reader.read()
        writer.close()
        await task
        return received

    return asyncio.run(asyncio.wait_for(run(), 30))


def test_requests_of_a_connection_are_answered_one_after_the_other() -> None:
    head = b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n"
    received = talk(b"".join(head % n for n in range(3)), lambda asked: answers.reply(asked.target, "application/text"))
    assert [part.partition(b"\r\n\r\n")[2][:2] for part in received.split(b"HTTP/1.1 ")[1:]] == [b"/0", b"/1", b"/2"]
    received = talk(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n", lambda asked: answers.reply(asked.target, "text/plain"))
    assert b"Content-Length: 1\r\n" in received
    assert received.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 2 * HEAD_LIMIT + b"\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n" + b"a" * 200_000,
    ],
    ids=["tls", "no host", "large head", "large body"],
)
def test_what_is_no_request_ends_the_connection(sent: bytes) -> None:
    def nobody(_: MetadataRequest) -> Reply:
        raise AssertionError

    received = talk(sent, nobody)
    assert received == b"" or received.startswith(b"HTTP/1.1 400 ")


def test_the_words_of_a_page_are_html() -> None:
    assert b"<b>404.</b>" in answers.not_found(asked("/x")).body
    assert json.loads(tree.as_json({"a-b": Lines(())})) == {"aB": []}
