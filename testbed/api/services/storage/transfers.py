"""The contents of objects on their way: uploads (in one piece, with a description, resumable) and downloads.

Signed URLs have paths of their own, by which functions' sources come and go: the bucket, then
the object.  A signed URL works for every holder; ours cannot be guessed.
"""

from __future__ import annotations

import fcntl
import json
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, unquote

from testbed.api.calls.raw import RawCall, Response, Uploads, serves_raw
from testbed.api.frontdoor.hosts import GOOGLE, without_port
from testbed.api.services.storage import blobs
from testbed.api.services.storage.objects import object_view
from testbed.api.source.folders import MAX_BYTES
from testbed.api.wire.payload import parsed
from testbed.control.accept.plane import ControlPlane
from testbed.control.state.resources import Record
from testbed.errors import GoogleText, InvalidArgument, NotFound
from testbed.json_object import Json
from testbed.model.core.projects import project_number

_UPLOAD = r"(?:resumable/)?upload/storage/v1/b/(?P<bucket>[^/]+)/o"
_DOWNLOAD = r"(?:download/)?storage/v1/b/(?P<bucket>[^/]+)/o/(?P<object>.+)"
_SIGNED = r"(?P<bucket>gcf-(?:v2-)?uploads-\d+-[a-z0-9-]+)/(?P<object>[0-9a-f-]{36}\.zip)"
_RANGE = re.compile(r"bytes (?:(\d{1,12})-\d{1,12}|\*)/(\d{1,12}|\*)")
_TYPE = re.compile(r"[!-~][ -~]{0,254}")
"""What can be said in a header as the type of an object."""
_BLANK = re.compile(rb"\r?\n\r?\n")
_INCOMPLETE = 308
_LIFE = 7 * 86400.0
_BUILDERS = "runtime-builders"
"""Google's bucket from which gcloud reads how Cloud Build is to make an image."""
_SESSION = "storage.uploads"
"""The kind of resumable uploads under way, and of objects for which there is a signed URL."""


class ObjectPlace(NamedTuple):
    """Where an object is."""

    bucket: str
    object: str


@serves_raw("POST PUT", _UPLOAD, upload=True)
def upload(call: RawCall, served: Uploads) -> Response:
    """The JSON API's upload, by `uploadType`."""
    bucket = _match(_UPLOAD, call.path)["bucket"]
    if call.verb == "PUT":
        return _continue(call, served)
    way = call.query.get("uploadType", "media")
    if way == "resumable":
        return _begin(call, served, bucket)
    if way == "multipart":
        described, data = _parts(call)
    elif way == "media":
        described, data = {"contentType": call.headers.get("content-type", "")}, call.body
    else:
        raise InvalidArgument(f"uploadType '{way}': not known", reason="badRequest")
    name = call.query.get("name") or str(described.get("name", ""))
    return _stored(served.plane, ObjectPlace(bucket, name), data, described)


@serves_raw("GET", _DOWNLOAD, media=True)
def download(call: RawCall, served: Uploads) -> Response:
    """The content of an object."""
    found = _match(_DOWNLOAD, call.path)
    if found["bucket"] == _BUILDERS:
        text = "image: the testbed builds none; deploy to the flexible environment with --image-url"
        raise NotFound(text, reason="notFound")  # gcloud looks there whatever it deploys, and is content with that
    return _content(served.plane, blobs.find(served.plane, found["bucket"], found["object"]))


@serves_raw("PUT", _SIGNED, upload=True)
def signed(call: RawCall, served: Uploads) -> Response:
    """The source of a function, by a URL that was given out for it."""
    place = ObjectPlace(*_match(_SIGNED, call.path).values())
    if served.plane.find(_SESSION, "/".join(place)) is None:
        raise NotFound("URL: the testbed has not given it out", reason="notFound")
    blobs.put(served.plane, *place, call.body, {"contentType": call.headers.get("content-type", "application/zip")})
    return 200, {"content-type": "text/html; charset=UTF-8"}, b""


def upload_url(plane: ControlPlane, endpoint: str, bucket: str, name: str) -> str:
    """A URL that takes an object, for a caller who came by `endpoint`.  Call it in a transaction."""
    _sweep(plane)
    plane.keep(Record(_SESSION, f"{bucket}/{name}", {}))
    return f"{_root(plane, endpoint)}/{bucket}/{quote(name)}"


def download_url(plane: ControlPlane, endpoint: str, bucket: str, name: str) -> str:
    """A URL that gives an object, for a caller who came by `endpoint`."""
    return f"{_root(plane, endpoint)}/download/storage/v1/b/{bucket}/o/{quote(name, safe='')}?alt=media"


def _root(plane: ControlPlane, endpoint: str) -> str:
    """How a caller reaches us again: as Cloud Storage if he came by one of Google's hosts, else in the same way."""
    scheme, _, host = endpoint.partition("://")
    if without_port(host).endswith(f".{GOOGLE}"):
        return f"{scheme}://storage.{GOOGLE}"
    return endpoint or f"http://127.0.0.1:{plane.store.port}"


def place_of(address: str) -> ObjectPlace | None:
    """The object that a URL means: `gs://B/O`, `https://storage.googleapis.com/B/O`, or one of `upload_url`."""
    path = re.sub(r"^(gs://|https?://[^/]+/)", "", address).partition("?")[0]
    bucket, _, name = path.partition("/")
    return ObjectPlace(bucket, unquote(name)) if bucket and name and path != address else None


# -- resumable uploads ------------------------------------------------------------------------------------------------


def _begin(call: RawCall, served: Uploads, bucket: str) -> Response:
    described = _described(call.body) if call.body.strip() else {}
    name = call.query.get("name") or str(described.get("name", ""))
    if kind := call.headers.get("x-upload-content-type"):
        described.setdefault("contentType", kind)
    session = secrets.token_urlsafe(24)
    with served.plane.transaction():
        _sweep(served.plane)
        blobs.bucket(served.plane, bucket)
        body = {"bucket": bucket, "name": name, "described": described}
        served.plane.keep(Record(_SESSION, session, body))
    _part(served.plane, session).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _part(served.plane, session).write_bytes(b"")
    location = f"{call.endpoint}/{call.path}?uploadType=resumable&upload_id={session}"
    return 200, {"location": location, "x-guploader-uploadid": session}, b""


def _continue(call: RawCall, served: Uploads) -> Response:
    session = call.query.get("upload_id", "")
    record = served.plane.find(_SESSION, session)
    if record is None or "bucket" not in record.body:
        raise NotFound("upload: not found", reason="notFound")
    with _exclusive(_part(served.plane, session)) as part:
        return _appended(call, served, record, part)


def _appended(call: RawCall, served: Uploads, record: Record, part: Path) -> Response:
    """More of an upload, or all of it."""
    have = part.stat().st_size
    given = _RANGE.fullmatch(call.headers.get("content-range", f"bytes 0-{len(call.body) - 1}/{len(call.body)}"))
    if given is None:
        raise InvalidArgument("Content-Range: it cannot be read", reason="badRequest")
    first, total = given.groups()
    if first is not None and call.body:
        if int(first) != have:
            return _resumed(have)
        if have + len(call.body) > MAX_BYTES:
            raise InvalidArgument(f"object: it must have at most {MAX_BYTES} bytes", reason="uploadTooLarge")
        with part.open("ab") as file:
            file.write(call.body)
        have += len(call.body)
    if total == "*" or have < int(total):
        return _resumed(have)
    place = ObjectPlace(record.body["bucket"], record.body["name"])
    answer = _stored(served.plane, place, part.read_bytes(), record.body["described"])
    served.plane.drop(_SESSION, record.name)
    part.unlink()
    return answer


@contextmanager
def _exclusive(part: Path) -> Iterator[Path]:
    """A part that nobody else writes to meanwhile.

    Raises:
        NotFound: somebody else has just ended the upload.
    """
    try:
        with part.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            part.stat()  # it may have gone while we waited
            yield part
    except FileNotFoundError:
        raise NotFound("upload: not found", reason="notFound") from None


def _sweep(plane: ControlPlane) -> None:
    """Forget uploads that nobody has ended, and URLs that were given out long ago (a week, as Google says)."""
    for record in plane.list(_SESSION):
        if time.time() - record.created > _LIFE:
            plane.drop(_SESSION, record.name)
            if "bucket" in record.body:
                _part(plane, record.name).unlink(missing_ok=True)


def _resumed(have: int) -> Response:
    return _INCOMPLETE, {"range": f"bytes=0-{have - 1}"} if have else {}, b""


def _part(plane: ControlPlane, session: str) -> Path:
    return blobs.uploads(plane) / "parts" / session


# -- bodies -----------------------------------------------------------------------------------------------------------


def _stored(plane: ControlPlane, place: ObjectPlace, data: bytes, described: Json) -> Response:
    if not place.object:
        raise InvalidArgument(GoogleText("Required object name"), reason="required")
    record = blobs.put(plane, *place, data, described)
    return 200, {}, json.dumps(object_view(record)).encode()


def _content(plane: ControlPlane, record: Record) -> Response:
    kind = str(record.body.get("contentType", ""))
    headers = {
        "content-type": kind if _TYPE.fullmatch(kind) else "application/octet-stream",
        "x-goog-hash": f"md5={record.facts['md5']}",
        "etag": record.facts["md5"],
    }
    try:
        return 200, headers, blobs.content(plane, record).read_bytes()
    except FileNotFoundError:  # it is being removed
        raise NotFound(GoogleText(f"No such object: {record.name}"), reason="notFound") from None


def _parts(call: RawCall) -> tuple[Json, bytes]:
    """Description and content of a `multipart/related` body (RFC 2387).

    Raises:
        InvalidArgument: it is none.
    """
    boundary = re.search(r"""boundary=["']?([^"';]+)""", call.headers.get("content-type", ""))  # gcloud writes '
    marked = re.compile(
        rb"(?:\A|\r?\n)--" + re.escape(boundary[1].encode() if boundary else b"\0") + rb"(?:--)?\s*?\r?\n"
    )
    pieces = marked.split(call.body + b"\r\n")
    if boundary is None or len(pieces) != 4:  # before the first mark, two parts, after the last
        raise InvalidArgument("multipart upload: it must have two parts, description and content", reason="badRequest")
    (_, description), (head, content) = (_split(piece) for piece in pieces[1:3])
    described = _described(description)
    kind = re.search(rb"content-type:[ \t]*([^\r\n]+)", head, re.IGNORECASE)
    if kind:
        described.setdefault("contentType", kind[1].decode("latin-1"))
    return described, content


def _split(piece: bytes) -> tuple[bytes, bytes]:
    blank = _BLANK.search(b"\n" + piece)
    return (piece[: blank.start()], piece[blank.end() - 1 :]) if blank else (b"", piece)


def _described(text: bytes) -> Json:
    try:
        value = parsed(text)
    except ValueError as error:
        raise InvalidArgument(GoogleText(f"Parse Error: {error}"), reason="parseError") from None
    if not isinstance(value, dict):
        raise InvalidArgument(GoogleText("Parse Error: an object is described by an object."), reason="parseError")
    return value


def _match(pattern: str, path: str) -> dict[str, str]:
    found = re.fullmatch(pattern, path)
    assert found is not None  # noqa: S101 - it is served by this pattern
    return found.groupdict()


def upload_bucket(project: str, region: str, *, generation: int) -> str:
    """The bucket that sources of functions are uploaded to, named as Google names it."""
    return f"gcf-{'v2-' if generation == 2 else ''}uploads-{project_number(project)}-{region}"
