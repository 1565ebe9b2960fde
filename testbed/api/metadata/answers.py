"""Answers of the metadata server, without the tokens that it makes: Google's headers, paths, queries and refusals.

Documented at https://cloud.google.com/compute/docs/metadata/querying-metadata; the words of error pages are recalled.
"""

from __future__ import annotations

import hashlib
import html
from collections.abc import Mapping
from dataclasses import replace
from http import HTTPStatus
from urllib.parse import parse_qsl, unquote, urlsplit

from testbed.api.metadata import tree
from testbed.api.metadata.tree import Entry, Made
from testbed.api.metadata.wire import MetadataRequest, Reply

ABOVE = {"/": "computeMetadata/\n", "/computeMetadata/": "v1/\n"}
"""What anybody may read: clients find out by it that they are at Google's."""
ROOT = "/computeMetadata/v1/"
FLAVOR = "metadata-flavor"
TEXT, JSON, PAGE = "application/text", "application/json", "text/html; charset=UTF-8"
_HEADERS = {"Metadata-Flavor": "Google", "X-XSS-Protection": "0", "X-Frame-Options": "SAMEORIGIN"}


def refusal(request: MetadataRequest) -> Reply | None:
    """The answer that is the same for all callers; None if it depends on the caller."""
    path = path_of(request)
    if request.method not in {"GET", "HEAD"}:
        return page(405, f"The request method <code>{html.escape(request.method)}</code> is not supported.")
    if path in ABOVE:
        return reply(ABOVE[path], TEXT)
    if path + "/" in {*ABOVE, ROOT}:
        return moved(request)
    return _denied(request, path) if path.startswith(ROOT) else not_found(request)


def _denied(request: MetadataRequest, path: str) -> Reply | None:
    denied = f"Your client does not have permission to get URL <code>{html.escape(path)}</code> from this server."
    if "x-forwarded-for" in request.headers:
        return page(403, f"{denied} Requests with the header X-Forwarded-For are refused.")
    if request.headers.get(FLAVOR, "").lower() != "google":
        return page(403, f"{denied} Missing Metadata-Flavor:Google header.")
    return None


def unknown(request: MetadataRequest) -> Reply:
    """What a caller is told that is nobody's workload."""
    path = html.escape(path_of(request))
    return page(403, f"Your client does not have permission to get URL <code>{path}</code> from this server.")


def looked_up(request: MetadataRequest, root: Entry) -> Reply | Made:
    """What a request finds in a tree of metadata."""
    path, query = path_of(request).removeprefix(ROOT), query_of(request)
    is_directory = path.endswith("/") or not path
    found = tree.find(root, [unquote(name) for name in path.strip("/").split("/") if path.strip("/")])
    if found is None:
        return not_found(request)
    inside = tree.children(found) is not None
    if inside != is_directory:
        return moved(request) if inside else not_found(request)
    if isinstance(found, Made):
        return found
    recursive = inside and query.get("recursive", "").lower() == "true"
    alt = query.get("alt", "json" if recursive else "text").lower()
    if alt not in {"json", "text"}:
        return page(400, "The parameter <code>alt</code> is json or text.")
    if alt == "json" and (recursive or not inside):
        return reply(tree.as_json(found), JSON)
    return reply(tree.everything(found) if recursive else tree.text(found), TEXT)


def path_of(request: MetadataRequest) -> str:
    """The path that was asked for; clients that take the server for their proxy name the host before it."""
    return urlsplit(request.target).path if not request.target.startswith("//") else request.target


def query_of(request: MetadataRequest) -> Mapping[str, str]:
    """The query that was asked."""
    return dict(parse_qsl(urlsplit(request.target).query, keep_blank_values=True))


def etag(body: bytes) -> str:
    """What tells contents apart."""
    return hashlib.sha256(body).hexdigest()[:16]


def reply(content: str, kind: str) -> Reply:
    """The answer that has a content."""
    body = content.encode()
    return named(Reply(200, kind, body, {**_HEADERS, "ETag": etag(body)}))


def named(answer: Reply) -> Reply:
    """An answer of this server."""
    return replace(answer, headers={**answer.headers, "Server": "Metadata Server for VM"})


def moved(request: MetadataRequest) -> Reply:
    """A directory is asked for by a slash at its end."""
    parts = urlsplit(request.target)
    where = f"{path_of(request)}/" + (f"?{parts.query}" if parts.query else "")
    found = page(301, f'The document has moved <a href="{html.escape(where)}">here</a>.')
    return replace(found, headers={**found.headers, "Location": where})


def not_found(request: MetadataRequest) -> Reply:
    """Nothing is there."""
    path = html.escape(path_of(request))
    return page(404, f"The requested URL <code>{path}</code> was not found on this server.")


def malformed() -> Reply:
    """The answer to what is no request."""
    return page(400, "Your client has issued a malformed or illegal request.")


def page(status: int, text: str) -> Reply:
    """An error as a page of Google's."""
    phrase = HTTPStatus(status).phrase
    body = (
        "<!DOCTYPE html>\n<html lang=en>\n  <meta charset=utf-8>\n"
        f"  <title>Error {status} ({phrase})!!1</title>\n"
        f"  <p><b>{status}.</b> <ins>That's an error.</ins>\n  <p>{text} <ins>That's all we know.</ins>\n"
    )
    return named(Reply(status, PAGE, body.encode(), _HEADERS))
