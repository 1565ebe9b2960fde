"""From a request to its answer, whatever way it came: REST and gRPC both end here."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from testbed.api.callers.identity import Identity
from testbed.api.calls import parameters
from testbed.api.calls.admission import admit
from testbed.api.calls.audit import AuditLog
from testbed.api.calls.call import (
    PRINTERS,
    Answer,
    Call,
    Handler,
    ImageCatalog,
    changes,
    handler_of,
    prepare,
    takes_time,
)
from testbed.api.contract import messages
from testbed.api.contract.discovery import APIS, Method, MethodMatch, MethodRouter, document
from testbed.api.contract.filters.scalars import duration
from testbed.api.contract.masks import camel
from testbed.api.contract.schema import Reader
from testbed.control.accept.plane import Busy, ControlPlane
from testbed.control.state.operations import Operation
from testbed.errors import GoogleText, InvalidArgument, NotFound, TestbedError, Unimplemented
from testbed.json_object import Json

T = TypeVar("T")

WINDOW = 1.0
"""Seconds that a caller is kept waiting, if that spares him the first poll: most operations are done by then.

Google's clients poll for the first time after a second (google-api-core)."""
PATIENCE = 120.0
"""Seconds that `operations.wait` waits: "the default deadline (2 minutes)" (compute v1, globalOperations.wait)."""
QUEUEING = 60.0
"""Seconds that a change waits at most for one that is under way on the same resource."""
_THREADS = 16
_VERSION = re.compile(r"(?:(?P<api>compute|dns|storage)/)?(?P<version>alpha|beta|preview|v\d+(?:(?:alpha|beta)\d*)?)/")
"""The version in a path."""
_STANDARD = frozenset(
    {
        "$.xgafv",
        "access_token",
        "alt",
        "$alt",
        "callback",
        "fields",
        "$fields",
        "key",
        "oauth_token",
        "userIp",
        "prettyPrint",
        "quotaUser",
        "upload_protocol",
        "uploadType",
        "$prettyPrint",
        "$userProject",
        "$req",
        "$outputDefaults",
        "$unique",
        "userProject",
        "returnPartialSuccess",
    }
)
"""Query parameters that every method takes (google.api.HttpRule's system parameters).

The last one is compute's: gcloud sends it with every aggregated list, though discovery has it no more.
"""


@dataclass(slots=True)
class Dispatcher:
    """Finds methods, reads what they are called with, runs their handlers and prints their answers."""

    plane: ControlPlane
    images: ImageCatalog
    audit: AuditLog
    identity: Identity
    router: MethodRouter = field(default_factory=MethodRouter)
    window: float = WINDOW
    patience: float = PATIENCE
    queueing: float = QUEUEING
    _readers: dict[str, Reader] = field(default_factory=dict)
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(_THREADS, "api"))
    _writers: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(_THREADS, "changes"))
    """For changes, which wait for each other: reads do not wait for them."""
    _patient: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(_THREADS, "patient"))
    """For handlers that may take their time: they hold up nobody but each other."""

    def find(self, verb: str, path: str, api: str | None) -> MethodMatch:
        """The method of a request.

        Raises:
            NotFound: no API that is served has such a path.
            Unimplemented: it is a path of a version that is not served.
        """
        if match := self.router.find(verb, path, api):
            return match
        if (found := _VERSION.match(path)) and found["version"] not in (served := _versions(api or found["api"])):
            there = f"; the testbed serves {', '.join(served)}" if served else ""
            raise Unimplemented(f"version {found['version']} of the API: it is not served{there}")
        allowed = ", ".join(sorted(self.router.verbs(path)))
        known = f"; this path takes {allowed}" if allowed else ""
        raise NotFound(f"method {verb} /{path}: not found{known}", reason="notFound")

    async def dispatch(
        self, match: MethodMatch, query: Sequence[tuple[str, str]], body: object, *, principal: str, endpoint: str
    ) -> Json:
        """Answer a request.

        Raises:
            TestbedError: Google would refuse it, or the testbed cannot do it.
        """
        if match.method.id.endswith("perations.wait"):
            given = match.parameters.get("operation") or match.parameters.get("name", "")
            await self.wait(given.rpartition("/")[2], self._asked_patience(body))
        quick = self._writers if changes(match.method) else self._pool
        pool = self._patient if takes_time(match.method) else quick
        call, answer = await self._queued(pool, partial(self._answer, match, query, body, principal, endpoint))
        if not isinstance(answer, Operation):
            result: Json = answer
            return result
        await self.wait(answer.id, self.window)
        printer = PRINTERS[call.method.api]
        printed: Json = await self._run(self._pool, lambda: printer(self.plane, self.plane.operation(answer.id)))
        return printed

    def _asked_patience(self, body: object) -> float:
        """Seconds that a caller of `operations.wait` is ready to wait: Cloud Run has a `timeout` in the body."""
        given = body.get("timeout") if isinstance(body, dict) else None
        asked = duration(given) if isinstance(given, str) else None
        return self.patience if asked is None else min(self.patience, asked / 1e9)

    async def _run(self, pool: ThreadPoolExecutor, work: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(pool, work, *arguments)

    async def _queued(self, pool: ThreadPoolExecutor, answer: Callable[..., T]) -> T:
        """What a method answers, after the changes that are under way on the same resources."""
        deadline = time.monotonic() + self.queueing
        while (left := deadline - time.monotonic()) > 0:
            try:
                return await self._run(pool, partial(answer, patient=True))
            except Busy as busy:
                await self.wait(busy.operation, left)
        return await self._run(pool, answer)

    def _answer(
        self,
        match: MethodMatch,
        query: Sequence[tuple[str, str]],
        body: object,
        principal: str,
        endpoint: str,
        *,
        patient: bool = False,
    ) -> tuple[Call, Answer]:
        """What a method answers.  It is noted in the same thread: a caller who has gone again is noted as well.

        A call that finds a change under way is not noted as long as the caller is `patient`, and comes again.
        """
        method, error = match.method, None
        try:
            handler = handler_of(method)
            if handler is None:
                raise Unimplemented(f"method {method.id} ({method.api}): the testbed does not implement it")
            call = self._call(match, query, body, principal, endpoint)
            return call, self._invoke(handler, call)
        except TestbedError as refusal:
            error = refusal
            raise
        finally:
            if not (patient and isinstance(error, Busy)):
                self.audit.write(method, match.parameters, principal, error)

    def _invoke(self, handler: Handler, call: Call) -> Answer:
        admit(call)
        if not changes(call.method):
            return handler(call)
        prepare(call)
        with self.plane.transaction():
            if call.request and (known := self.plane.store.operations.of_request(call.request)):
                return known
            return handler(call)

    async def wait(self, operation: str, seconds: float) -> None:
        """Until an operation is done, but no longer than this."""
        waiting = asyncio.wrap_future(await self._run(self._pool, self.plane.when_done, operation))
        try:
            await asyncio.wait({waiting}, timeout=seconds)
        finally:
            waiting.cancel()  # nobody waits any more

    def _call(
        self, match: MethodMatch, query: Sequence[tuple[str, str]], body: object, principal: str, endpoint: str
    ) -> Call:
        method = match.method
        given, repeated = _query(method, query)
        parameters.check(match.parameters, given)
        nulls = _is_merge_patch(method)
        read = self._reader(method.api).read(method.request, body or {}, nulls=nulls) if method.request else {}
        path = {key: self._with_id(key, text) for key, text in match.parameters.items()}
        return Call(
            plane=self.plane,
            images=self.images,
            audit=self.audit,
            identity=self.identity,
            method=method,
            parameters={**given, **path},
            repeated=repeated,
            body=read,
            principal=principal,
            endpoint=endpoint,
        )

    def _with_id(self, key: str, text: str) -> str:
        """A parameter of a path that may have a project's number."""
        if key in {"project", "projectId"}:
            return self.plane.with_id(f"projects/{text}").removeprefix("projects/")
        return self.plane.with_id(text)

    def _reader(self, api: str) -> Reader:
        if api not in self._readers:
            self._readers[api] = Reader(document(api), messages.enums(api), tolerant=api.startswith("storage."))
        return self._readers[api]


def _versions(api: str | None) -> list[str]:
    """The versions of an API that are served, or of all APIs."""
    return sorted({version for name, _, version in (one.partition(".") for one in APIS) if api in (None, name)})


def _is_merge_patch(method: Method) -> bool:
    """Whether null in a body removes the field (RFC 7396): compute and DNS have no field masks.

    In the other APIs null is as if the field had not been sent; a field mask that names the field removes it.
    """
    return method.api.partition(".")[0] in {"compute", "dns"} and method.id.endswith(
        (".patch", ".patchRule", ".preview")
    )


def _query(method: Method, query: Sequence[tuple[str, str]]) -> tuple[dict[str, str], Mapping[str, tuple[str, ...]]]:
    """The query's parameters, of which the method's document knows.

    Raises:
        InvalidArgument: it does not know one.
    """
    last: dict[str, str] = {}
    every: dict[str, list[str]] = {}
    for key, value in query:
        name = key if key in method.parameters else camel(key)
        if name not in method.parameters and key not in _STANDARD:
            raise InvalidArgument(
                GoogleText(
                    f"Invalid JSON payload received. Unknown name \"{key}\": Cannot bind query parameter. Field '{key}'"
                    " could not be found in request message."
                )
            )
        last[name] = value
        every.setdefault(name, []).append(value)
    return last, {name: tuple(values) for name, values in every.items()}
