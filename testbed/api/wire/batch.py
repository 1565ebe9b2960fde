"""Several calls in one request, `POST /batch/compute/v1`: gcloud sends them so whenever there is more than one.

Each part of a multipart/mixed body is a request of its own (application/http), and so is each part of the answer; they
belong together by Content-ID (Google's "Batch Requests" of its API guides).
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from email.parser import BytesParser
from email.policy import HTTP
from http import HTTPStatus

from testbed.errors import GoogleText, InvalidArgument

_PATH = re.compile(r"batch(?:/[\w./-]+)?")
_LINE = re.compile(rb"(GET|POST|PUT|PATCH|DELETE) (\S+)(?: HTTP/1\.[01])?")
LARGEST = 1000
"""Calls that one batch may have, as Google's."""

Response = tuple[int, dict[str, str], bytes]


@dataclass(frozen=True, slots=True)
class Part:
    """One call of a batch."""

    id: str
    """Its Content-ID."""
    verb: str
    target: str
    """Path and query, or a whole URL."""
    headers: dict[str, str]
    body: bytes

    def scope(self, host: str, authorization: str | None) -> dict[str, object]:
        """The part as an ASGI scope; what it does not say itself is as the whole request has it."""
        headers = {"host": host, **({"authorization": authorization} if authorization else {}), **self.headers}
        path, _, query = self.target.partition("#")[0].partition("?")
        return {
            "type": "http",
            "method": self.verb,
            "path": path,
            "raw_path": path.encode("latin-1"),
            "query_string": query.encode("latin-1"),
            "headers": [(key.encode("latin-1"), value.encode("latin-1")) for key, value in headers.items()],
        }


def is_batch(verb: str, path: str) -> bool:
    """Whether a request is a batch."""
    return verb == "POST" and _PATH.fullmatch(path) is not None


def read(content_type: str, body: bytes) -> list[Part]:
    """The calls of a batch.

    Raises:
        InvalidArgument: it is none.
    """
    try:
        message = BytesParser(policy=HTTP).parsebytes(f"Content-Type: {content_type}\r\n\r\n".encode("latin-1") + body)
    except RecursionError:  # parts in parts in parts
        raise InvalidArgument(GoogleText("Failed to parse batch request, error: nested too deeply.")) from None
    if message.get_content_type() != "multipart/mixed":
        raise InvalidArgument(GoogleText("Failed to parse batch request, error: the body is not multipart/mixed."))
    found = []
    for part in message.iter_parts():
        payload = part.get_payload(decode=True)
        if not isinstance(payload, bytes):
            raise InvalidArgument(GoogleText("Failed to parse batch request, error: a part is not application/http."))
        found.append(_part(str(part.get("Content-ID", "")), payload.lstrip()))
    if not 0 < len(found) <= LARGEST:
        raise InvalidArgument(f"batch: it has {len(found)} calls, and must have 1 to {LARGEST}")
    return found


def _part(identifier: str, text: bytes) -> Part:
    line, _, rest = text.partition(b"\n")
    start = _LINE.fullmatch(line.strip())
    if start is None:
        raise InvalidArgument(GoogleText("Failed to parse batch request, error: a part has no request line."))
    inner = BytesParser(policy=HTTP).parsebytes(rest, headersonly=True)
    _, _, body = (b"\n" + rest.replace(b"\r\n", b"\n")).partition(b"\n\n")
    headers = {key.lower(): str(value) for key, value in inner.items()}
    if not all(text.isascii() for text in (identifier, *headers, *headers.values())):
        raise InvalidArgument(GoogleText("Failed to parse batch request, error: a part's header is not ASCII."))
    return Part(identifier, start[1].decode(), start[2].decode("latin-1"), headers, body)


def written(parts: Sequence[Part], answers: Sequence[Response]) -> Response:
    """The answer to a batch."""
    boundary = f"batch_{secrets.token_hex(16)}"
    chunks = []
    for part, (status, headers, body) in zip(parts, answers, strict=True):
        fields = {"Content-Type": "application/json; charset=UTF-8", "Content-Length": str(len(body)), **headers}
        head = [
            f"--{boundary}",
            "Content-Type: application/http",
            f"Content-ID: {_answered(part.id)}",
            "",
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
            *(f"{key}: {value}" for key, value in fields.items()),
        ]
        chunks.append("\r\n".join([*head, "", ""]).encode("latin-1") + body + b"\r\n")
    chunks.append(f"--{boundary}--\r\n".encode())
    return 200, {"content-type": f"multipart/mixed; boundary={boundary}"}, b"".join(chunks)


def _answered(identifier: str) -> str:
    """The Content-ID of an answer: `<response-ID>` to `<ID>`."""
    clean = "".join(identifier.split())
    return f"<response-{clean[1:]}" if clean.startswith("<") else f"response-{clean}"
