"""REST: an ASGI application that reads HTTP requests, and prints answers and errors as Google's servers do.

It is local and trusts its callers no further than that: a foreign `Host` (DNS rebinding), a request from a page in a
browser (CSRF) and a body over the limit are refused before anything is looked at.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl, unquote

from testbed.api.calls import raw
from testbed.api.calls.dispatch import Dispatcher
from testbed.api.contract import errors, shaping
from testbed.api.contract.discovery import SLASH
from testbed.api.frontdoor import external_requests, guards
from testbed.api.frontdoor.hosts import GOOGLE, api_of, is_workload, without_port
from testbed.api.source.folders import MAX_BYTES
from testbed.api.wire import batch, payload
from testbed.api.wire.rpc import Principal
from testbed.errors import DeadlineExceeded, GoogleText, InvalidArgument, NotFound
from testbed.json_object import Json

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

LIMIT = 10 << 20
"""Bytes that the body of a call may have (Google's own limit is of this size)."""
_PARAMETERS = 1000
"""Of a query: more than any client sends, though a filter may be repeated."""
_ABSOLUTE = re.compile(r"https?://([^/?#]+)([^?#]*)", re.IGNORECASE)
log = logging.getLogger("testbed.api")


@dataclass(frozen=True, slots=True)
class RestRequest:
    """A request's head."""

    verb: str
    path: str
    """Without the leading slash, decoded except for slashes inside of names."""
    query: list[tuple[str, str]]
    headers: dict[str, str]
    host: str
    endpoint: str
    """How the caller reaches the control plane: what a URL of ours has to begin with."""
    target: str
    """Path and query as they came."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a request's body may take, in seconds: Google's front ends do not wait for ever either."""

    part: float = 20.0
    """Until more of it comes."""
    whole: float = 600.0


class Rest:
    """The application."""

    def __init__(
        self, dispatcher: Dispatcher, principal: Principal, uploads: raw.Uploads, patience: Patience = Patience()
    ) -> None:
        self._dispatcher = dispatcher
        self._principal = principal
        self._uploads = uploads
        self._patience = patience

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        receive = _within(receive, self._patience)
        try:
            request = _request(scope)
        except InvalidArgument as error:
            await _send(send, 400, {}, _dump(errors.envelope(error, "")))
            return
        status, headers, body = await self._response(request, receive)
        if status in (raw.TOO_LARGE, raw.TOO_SLOW):  # the rest of the body may come, or never
            headers = {**headers, "connection": "close"}
        await _send(send, status, headers, body)

    async def _response(self, request: RestRequest, receive: Receive) -> raw.Response:
        """The answer to a request, or the error that it is refused with."""
        try:
            return await self._answer(request, receive)
        except Exception as error:  # a boundary: the client is told, whatever it is
            known = errors.for_caller(error)
            if known is not error:
                log.exception("%s /%s of %s", request.verb, request.path, api_of(request.host) or "")
            return errors.http_status(known), {}, _dump(errors.envelope(known, self._named(request)))

    async def _answer(self, request: RestRequest, receive: Receive) -> raw.Response:
        guards.check_hosts(request.host, request.headers.get("host", request.host))
        guards.check_caller(request.headers)
        if is_workload(request.host):
            call = _raw(request, await _body(receive, external_requests.LIMIT))
            return await external_requests.forward(self._uploads.plane, request.host, request.target, call)
        if batch.is_batch(request.verb, request.path):
            return await self._batch(request, await _body(receive, LIMIT))
        if special := raw.find(request.verb, request.path.replace(SLASH, "/"), dict(request.query)):
            call = _raw(request, await _body(receive, MAX_BYTES if special.upload else LIMIT))
            return await asyncio.to_thread(special.serve, call, self._uploads)
        principal = self._principal(request.headers.get("authorization"))
        text = await _body(receive, LIMIT)
        if request.verb == "POST" and request.headers.get("x-http-method-override", "").upper() == "GET":
            request, text = _long(request, text), b""
        match = self._dispatcher.find(request.verb, request.path, self._api(request))
        shaped = shaping.shape(match.method, dict(request.query))
        result = await self._dispatcher.dispatch(
            match, request.query, _parsed(text), principal=principal, endpoint=request.endpoint
        )
        return 200, {}, _dump(shaped(result))

    async def _batch(self, request: RestRequest, body: bytes) -> raw.Response:
        """The answers to the calls of a batch, which are carried out side by side."""
        parts = batch.read(request.headers.get("content-type", ""), body)
        authorization = request.headers.get("authorization")
        requests = [_request(part.scope(request.host, authorization)) for part in parts]
        if any(batch.is_batch(one.verb, one.path) for one in requests):
            raise InvalidArgument(GoogleText("Failed to parse batch request, error: a batch in a batch."))
        answers = await asyncio.gather(
            *(self._response(one, _receiving(part.body)) for one, part in zip(requests, parts, strict=True))
        )
        return batch.written(parts, answers)

    def _api(self, request: RestRequest) -> str | None:
        """The API that the host means.

        Raises:
            NotFound: none of those that are served.
        """
        api = api_of(request.host)
        if api is not None and not self._dispatcher.router.named(api):
            raise NotFound(f"host {without_port(request.host)}: the testbed does not serve it")
        return api

    def _named(self, request: RestRequest) -> str:
        """The API that an error is printed for."""
        match = self._dispatcher.router.find(request.verb, request.path, api_of(request.host))
        found = match.method.api.split(".")[0] if match else api_of(request.host)
        return found or ("compute" if request.path.startswith("compute/") else "")


def _request(scope: Scope) -> RestRequest:
    """A request's head.

    Raises:
        InvalidArgument: it has a target that is no URL, or too many parameters.
    """
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    target = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1")
    asked = _ABSOLUTE.fullmatch(target)  # as a proxy is asked (RFC 9112, 3.2.2)
    host, raw_path = (asked[1], asked[2]) if asked else (headers.get("host", ""), target)
    secure = not asked and without_port(host).endswith(GOOGLE)  # else they are only asked for in absolute form
    endpoint = f"{'https' if secure else 'http'}://{host}"
    path = raw_path.lstrip("/")
    first, _, rest = path.partition("/")
    if first.endswith(".googleapis.com") and not is_workload(host):  # an endpoint override says which API is meant
        host, path = first, rest
    text = scope["query_string"].decode("latin-1")
    target = f"{raw_path or '/'}?{text}" if text else raw_path or "/"
    return RestRequest(scope["method"], _decoded(path), _query(text), headers, host, endpoint, target)


def _query(text: str) -> list[tuple[str, str]]:
    """A query's parameters.

    Raises:
        InvalidArgument: there are too many.
    """
    try:
        return parse_qsl(text, keep_blank_values=True, max_num_fields=_PARAMETERS)
    except ValueError:
        raise InvalidArgument(f"request: it has more than {_PARAMETERS} parameters") from None


def _long(request: RestRequest, form: bytes) -> RestRequest:
    """A GET whose query was too long for a URL: gcloud and google-api-python-client send it as a form."""
    return replace(request, verb="GET", query=[*request.query, *_query(form.decode("latin-1"))])


def _decoded(path: str) -> str:
    """A path whose slashes inside of names are still told from those between them (`discovery.SLASH`)."""
    return SLASH.join(map(unquote, re.split(SLASH, path, flags=re.IGNORECASE)))


def _raw(request: RestRequest, body: bytes) -> raw.RawCall:
    path = request.path.replace(SLASH, "/")
    return raw.RawCall(request.verb, path, dict(request.query), request.headers, body, request.endpoint)


def _receiving(body: bytes) -> Receive:
    """A body that is there already, as ASGI gives it."""

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


def _within(receive: Receive, patience: Patience) -> Receive:
    """A body that has to come in time."""
    loop = asyncio.get_running_loop()
    end = loop.time() + patience.whole

    async def received() -> Message:
        try:
            async with asyncio.timeout_at(min(end, loop.time() + patience.part)):
                return await receive()
        except TimeoutError:
            raise DeadlineExceeded("request: its body did not come in time", reason="requestTimeout") from None

    return received


async def _body(receive: Receive, limit: int) -> bytes:
    """The whole body.

    Raises:
        InvalidArgument: it is too large (413).
        DeadlineExceeded: it did not come in time (408).
    """
    chunks, size = [], 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise InvalidArgument("request: the caller hung up")
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise InvalidArgument(f"request: its body is larger than {limit} bytes", reason="uploadTooLarge")
        chunks.append(chunk)
        if not message.get("more_body"):
            return b"".join(chunks)


def _parsed(text: bytes) -> object:
    if not text.strip():
        return None
    try:
        return payload.parsed(text)
    except ValueError as error:
        raise InvalidArgument(GoogleText(f"Invalid JSON payload received. {error}")) from None


def _dump(value: Json) -> bytes:
    return (json.dumps(value, indent=2) + "\n").encode()


async def _send(send: Send, status: int, headers: dict[str, str], body: bytes) -> None:
    given = {"content-type": "application/json; charset=UTF-8", "content-length": str(len(body)), **headers}
    pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in given.items()]
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})
