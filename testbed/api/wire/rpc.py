"""gRPC: each call becomes the REST request that Google's own annotations say it is, and the answer a message again."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from urllib.parse import unquote

import grpc
from google.api_core import path_template
from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message
from google.rpc import status_pb2
from grpc_status import rpc_status

from testbed.api.calls.dispatch import Dispatcher
from testbed.api.contract import errors
from testbed.api.contract.messages import Rpc, find, load_types
from testbed.api.frontdoor import guards
from testbed.errors import InvalidArgument, Unimplemented
from testbed.json_object import Json

log = logging.getLogger("testbed.api")

Principal = Callable[[str | None], str]
"""Who calls, by the `authorization` header; raises Unauthenticated."""


class Bridge(grpc.GenericRpcHandler):
    """Serves the procedures of Google's published clients through a dispatcher."""

    def __init__(self, dispatcher: Dispatcher, principal: Principal) -> None:
        self._dispatcher = dispatcher
        self._principal = principal

    def service(self, handler_call_details: Any) -> Any:
        """The handler of a procedure; one that there is none of is UNIMPLEMENTED, by name."""
        path = handler_call_details.method
        rpc = find(path)
        if rpc is None:
            return grpc.unary_unary_rpc_method_handler(partial(_unknown, path))

        async def answer(request: bytes, context: Any) -> Message | None:
            return await self._answer(rpc, request, context)

        return grpc.unary_unary_rpc_method_handler(answer, response_serializer=rpc.response.SerializeToString)

    async def _answer(self, rpc: Rpc, request: bytes, context: Any) -> Message | None:
        name = _name(rpc) or ""
        metadata = {key.lower(): value for key, value in context.invocation_metadata() or ()}
        try:
            guards.check_caller(metadata)
            principal = self._principal(metadata.get("authorization"))
            result = await self._call(rpc, _message(rpc, request), principal)
            load_types(result)
            return json_format.ParseDict(result, rpc.response(), ignore_unknown_fields=True)
        except Exception as caught:  # a boundary: the client is told, whatever it is
            error = errors.for_caller(caught)
            if error is not caught:
                log.exception("%s", rpc.path)
        status = status_pb2.Status(code=errors.code(error), message=errors.message_of(error, name))
        for detail in errors.details(error, name):
            json_format.ParseDict(detail, status.details.add())
        await context.abort_with_status(rpc_status.to_status(status))
        return None

    async def _call(self, rpc: Rpc, request: Message, principal: str) -> Json:
        try:
            written = path_template.transcode(list(rpc.http), request)  # type: ignore[no-untyped-call]
        except ValueError as error:
            raise Unimplemented(f"method {rpc.path}: it cannot be written as a request: {error}") from error
        dispatcher = self._dispatcher
        path = unquote(str(written["uri"])).lstrip("/")
        match = dispatcher.find(written["method"].upper(), path, _name(rpc))
        body = written.get("body")
        return await dispatcher.dispatch(
            match,
            _query(written["query_params"]),
            _dict(body) if body is not None else None,
            principal=principal,
            endpoint="",
        )


async def _unknown(path: str, _: bytes, context: Any) -> None:
    await context.abort(grpc.StatusCode.UNIMPLEMENTED, f"method {path}: the testbed does not implement it")


def _name(rpc: Rpc) -> str | None:
    """The name of a procedure's API, `vpcaccess`, if it belongs to one."""
    return rpc.api.partition(".")[0] if rpc.api else None


def _message(rpc: Rpc, request: bytes) -> Message:
    """What a client has sent.

    Raises:
        InvalidArgument: it is no such message.
    """
    try:
        return rpc.request.FromString(request)
    except DecodeError as error:
        name = rpc.request.DESCRIPTOR.full_name
        raise InvalidArgument(f"method {rpc.path}: the request cannot be read as {name}: {error}") from error


def _dict(message: Message) -> Json:
    result: Json = json_format.MessageToDict(message)
    return result


def _query(parameters: Message) -> list[tuple[str, str]]:
    """What is neither in the path nor in the body, as a query."""
    return [(key, str(one).lower() if isinstance(one, bool) else str(one)) for key, one in _fields(_dict(parameters))]


def _fields(message: Json, where: str = "") -> Iterator[tuple[str, object]]:
    """The fields of a message by their paths: `options.requestedPolicyVersion`."""
    for key, value in message.items():
        if isinstance(value, dict):
            yield from _fields(value, f"{where}{key}.")
        else:
            yield from ((where + key, one) for one in (value if isinstance(value, list) else [value]))
