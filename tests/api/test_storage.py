"""Cloud Storage, as far as deployments need it."""

from __future__ import annotations

import asyncio
import hashlib
import json
from typing import Any

import pytest

from testbed.api.services.storage import blobs, transfers
from testbed.json_object import Json
from tests.api.harness import Api, Refused

BUCKETS = "storage/v1/b"
OBJECTS = f"{BUCKETS}/pail/o"
UPLOAD = f"upload/{OBJECTS}"


@pytest.fixture(autouse=True)
def bucket(api: Api) -> None:
    api.post(BUCKETS, {"name": "pail", "location": "us-central1"}, project="demo")


def upload(api: Api, name: str, data: bytes) -> Json:
    status, answer = api.send("POST", UPLOAD, data, query=f"uploadType=media&name={name}")
    assert status == 200
    made: Json = json.loads(answer)
    return made


def content(api: Api, name: str) -> bytes:
    status, answer = api.send("GET", f"{OBJECTS}/{name}", query="alt=media")
    assert status == 200
    return answer


def test_buckets(api: Api) -> None:
    made = api.get(f"{BUCKETS}/pail")
    assert (made["location"], made["locationType"]) == ("US-CENTRAL1", "region")
    assert [one["name"] for one in api.get(BUCKETS, project="demo")["items"]] == ["pail"]
    assert "items" not in api.get(BUCKETS, project="other")
    with pytest.raises(Refused) as caught:
        api.post(BUCKETS, {"name": "pail"}, project="demo")
    assert caught.value.code == 409
    with pytest.raises(Refused, match="Invalid bucket name"):
        api.post(BUCKETS, {"name": "../x"}, project="demo")
    api.delete(f"{BUCKETS}/pail")
    with pytest.raises(Refused, match="bucket does not exist") as caught:
        api.get(f"{BUCKETS}/pail")
    assert caught.value.error["errors"][0]["reason"] == "notFound"


def test_an_object_in_one_piece(api: Api) -> None:
    made = upload(api, "a", b"one")
    assert (made["size"], made["md5Hash"]) == ("3", "+XxdKZQb+xsv2rCHSQargg==")
    upload(api, "a", b"two")
    assert content(api, "a") == b"two"
    assert api.get(f"{OBJECTS}/a")["generation"] > made["generation"]
    api.delete(f"{OBJECTS}/a")
    with pytest.raises(Refused, match="No such object: pail/a"):
        api.get(f"{OBJECTS}/a")
    assert api.send("GET", f"{OBJECTS}/a", query="alt=media")[0] == 404
    assert not list((api.plane.store.folder / "uploads" / "blobs").iterdir())


@pytest.mark.parametrize(("newline", "quote"), [(b"\n", "'"), (b"\r\n", '"'), (b"\r\n", "")])
@pytest.mark.parametrize("data", [b"", b"\r\n--b\n\x00\xff\r\n", b"plain"])
def test_an_object_with_a_description(api: Api, newline: bytes, quote: str, data: bytes) -> None:
    body = newline.join(
        [
            b"--==b==",
            b"Content-Type: application/json",
            b"",
            b'{"name": "a", "contentType": "text/css"}',
            b"--==b==",
            b"Content-Type: text/plain",
            b"Content-Transfer-Encoding: binary",
            b"",
            data,
            b"--==b==--",
        ]
    )
    headers = {"content-type": f"multipart/related; boundary={quote}==b=={quote}"}
    status, answer = api.send("POST", UPLOAD, body, query="uploadType=multipart&alt=json", headers=headers)
    assert (status, json.loads(answer)["contentType"]) == (200, "text/css")
    assert content(api, "a") == data


def test_names_of_objects_have_slashes(api: Api) -> None:
    upload(api, "a/b%20c.zip", b"x")
    assert api.get(f"{OBJECTS}/a%2Fb%20c.zip")["name"] == "a/b c.zip"
    assert content(api, "a%2Fb%20c.zip") == b"x"
    api.delete(f"{OBJECTS}/a%2fb%20c.zip")
    with pytest.raises(Refused, match=r"No such object: pail/a/b c\.zip"):
        api.get(f"{OBJECTS}/a%2Fb%20c.zip")


def test_a_resumable_upload(api: Api) -> None:
    begun = api.exchange("POST", UPLOAD, b'{"name": "a"}', query="uploadType=resumable")
    status, _, headers = asyncio.run(begun)
    assert status == 200
    path, _, query = headers["location"].removeprefix("http://127.0.0.1:7667/").partition("?")

    def put(data: bytes, span: str) -> tuple[int, bytes, dict[str, str]]:
        return asyncio.run(api.exchange("PUT", path, data, query=query, headers={"content-range": f"bytes {span}"}))

    assert put(b"abc", "0-2/*")[::2][0] == 308
    assert put(b"zzz", "9-11/12")[2]["range"] == "bytes=0-2"  # not what comes next: the caller goes on from here
    assert put(b"", "*/6")[2]["range"] == "bytes=0-2"
    assert put(b"def", "3-5/6")[0] == 200
    assert content(api, "a") == b"abcdef"
    assert put(b"", "*/6")[0] == 404


@pytest.mark.parametrize(
    ("query", "body"),
    [
        ("uploadType=media", b"x"),
        ("uploadType=odd&name=a", b"x"),
        ("uploadType=multipart", b"no parts"),
        ("uploadType=resumable", b"[1]"),
    ],
)
def test_uploads_that_are_none(api: Api, query: str, body: bytes) -> None:
    assert api.send("POST", UPLOAD, body, query=query)[0] == 400
    assert "items" not in api.get(OBJECTS)


def test_lists_have_folders(api: Api) -> None:
    for name in ("a", "b/c", "b/d/e"):
        upload(api, name, b"")
    assert [one["name"] for one in api.get(OBJECTS)["items"]] == ["a", "b/c", "b/d/e"]
    found = api.get(OBJECTS, prefix="b/", delimiter="/")
    assert ([one["name"] for one in found["items"]], found["prefixes"]) == (["b/c"], ["b/d/"])
    first = api.get(OBJECTS, maxResults=2)
    assert [one["name"] for one in api.get(OBJECTS, maxResults=2, pageToken=first["nextPageToken"])["items"]] == [
        "b/d/e"
    ]
    with pytest.raises(Refused, match="not empty"):
        api.delete(f"{BUCKETS}/pail")


def test_what_gcloud_reads_of_cloud_build_is_not_there(api: Api) -> None:
    status, answer = api.send("GET", f"{BUCKETS}/runtime-builders/o/experiments.yaml", query="alt=media")
    assert status == 404  # it would try again after anything else
    assert "the testbed builds none" in json.loads(answer)["error"]["message"]


def test_an_upload_in_pieces_has_a_limit(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfers, "MAX_BYTES", 5)
    _, _, headers = asyncio.run(api.exchange("POST", UPLOAD, b'{"name": "a"}', query="uploadType=resumable"))
    path, _, query = headers["location"].removeprefix("http://127.0.0.1:7667/").partition("?")

    def put(data: bytes, span: str) -> int:
        return api.send("PUT", path, data, query=query, headers={"content-range": f"bytes {span}"})[0]

    assert [put(b"abc", "0-2/*"), put(b"def", "3-5/*"), put(b"de", "3-4/5")] == [308, 413, 200]
    assert put(b"", f"*/{'9' * 5000}") == 404


def test_pieces_that_come_twice_at_once_are_kept_once(api: Api) -> None:
    _, _, headers = asyncio.run(api.exchange("POST", UPLOAD, b'{"name": "a"}', query="uploadType=resumable"))
    path, _, query = headers["location"].removeprefix("http://127.0.0.1:7667/").partition("?")
    data = b"x" * 3_000_000

    async def puts() -> list[tuple[int, bytes]]:
        span = {"content-range": f"bytes 0-{len(data) - 1}/{2 * len(data)}"}
        return await asyncio.gather(*(api.answer("PUT", path, data, query=query, headers=span) for _ in range(8)))

    assert {status for status, _ in asyncio.run(puts())} == {308}
    part = next((api.plane.store.folder / "uploads" / "parts").iterdir())
    assert part.stat().st_size == len(data)


def test_uploads_that_nobody_ends_are_forgotten(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    asyncio.run(api.exchange("POST", UPLOAD, b'{"name": "a"}', query="uploadType=resumable"))
    monkeypatch.setattr(transfers, "_LIFE", -1.0)
    asyncio.run(api.exchange("POST", UPLOAD, b'{"name": "b"}', query="uploadType=resumable"))
    assert len(list((api.plane.store.folder / "uploads" / "parts").iterdir())) == 1
    assert len(api.plane.list("storage.uploads")) == 1


def test_a_type_that_no_header_can_have_is_not_sent(api: Api) -> None:
    described = json.dumps({"name": "a", "contentType": "text/plain\r\nX-Evil: \u20ac"}).encode()
    body = b"--b\r\n\r\n" + described + b"\r\n--b\r\n\r\nx\r\n--b--"
    kind = {"content-type": "multipart/related; boundary=b"}
    assert api.send("POST", UPLOAD, body, query="uploadType=multipart", headers=kind)[0] == 200
    _, answer, headers = asyncio.run(api.exchange("GET", f"{OBJECTS}/a", query="alt=media"))
    assert (answer, headers["content-type"]) == (b"x", "application/octet-stream")


def test_content_stays_if_another_object_with_it_goes_meanwhile(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    upload(api, "a", b"same")
    md5 = hashlib.md5

    def slow(*arguments: Any, **options: Any) -> Any:
        with api.plane.transaction():
            blobs.remove(api.plane, blobs.find(api.plane, "pail", "a"))
        return md5(*arguments, **options)

    monkeypatch.setattr(hashlib, "md5", slow)
    upload(api, "b", b"same")
    assert content(api, "b") == b"same"


def test_fields_that_nobody_knows_are_passed_over(api: Api) -> None:
    """As Cloud Storage does; Terraform sends some that are newer than the API's description."""
    made = api.post("storage/v1/b", {"name": "with-more", "newerThanThis": {"a": 1}}, project="demo")
    assert made["name"] == "with-more"
    assert "newerThanThis" not in made
    with pytest.raises(Refused, match='Unknown name "newer"'):
        api.post("compute/v1/projects/demo/global/networks", {"name": "vpc", "newer": 1})
