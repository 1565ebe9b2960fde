"""The control plane without nodes and kernel: everything else is as in a running testbed.

What a plan would need is compiled and then left alone; connector instances get healthy at once, unless told otherwise.
Every answer is checked against its method's schema in the discovery document.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Collection, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlencode

import pytest

from testbed.api import services
from testbed.api.callers.identity import OWNER, Identity
from testbed.api.callers.keys import SqliteKeys
from testbed.api.calls.audit import AuditLog
from testbed.api.calls.dispatch import Dispatcher
from testbed.api.calls.raw import Uploads
from testbed.api.contract.discovery import document
from testbed.api.contract.schema import faults_in
from testbed.api.wire.rest import Message, Receive, Rest
from testbed.control import connectors
from testbed.control.accept.plane import ControlPlane
from testbed.control.realise.allocate import allot
from testbed.control.realise.executor import Executor
from testbed.control.realise.ticket import RunningNodes, Ticket
from testbed.control.state.store import Store
from testbed.fabric.compiler import compile_topology
from testbed.fabric.plan import Plan
from testbed.json_object import Json
from testbed.model.topology import Topology
from testbed.nodes.packages.requirements import BuildFailed, wanted

HOST = "127.0.0.1:7667"
PROJECT = "demo"


class Refused(Exception):  # noqa: N818 - what a server does
    """An answer of 400 and above."""

    def __init__(self, status: int, body: Json) -> None:
        error = body["error"]
        super().__init__(f"{status}: {error['message']}")
        self.code = status
        self.error = error
        self.message = str(error["message"])
        self.status = str(error.get("status", ""))


@dataclass
class Images:
    """Which images there are."""

    known: set[str] = field(default_factory=lambda: {"testbed/vm", "testbed/runtime", "testbed/redis"})

    def knows(self, name: str) -> bool:
        return name in self.known


class Index:
    """In the installer's place: whatever the runtime lacks is in no index."""

    def begin(self, source: Path) -> Future[Path | None]:
        result: Future[Path | None] = Future()
        try:
            asked = wanted(source)
        except BuildFailed as error:
            result.set_exception(error)
            return result
        if asked is None:
            result.set_result(None)
        else:
            result.set_exception(BuildFailed(f"No matching distribution found for {asked.requirements[0]}"))
        return result


class Compiling:
    """In the reconciler's place: compiles what would be made, and keeps the last plan."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.plan: Plan | None = None
        self.restarted: list[str] = []
        self.healthy = True
        self.failure: Exception | None = None
        self.nodes = cast(RunningNodes, None)  # no task is run, unless a test brings them
        self.packages = Index()

    def without(self, ticket: Ticket, nodes: Collection[str]) -> Ticket:
        return replace(ticket, lacking=ticket.lacking - {*nodes})

    def advance(self, topology: Topology, again: Collection[str] = ()) -> Ticket:
        self.restarted += again
        if self.failure is not None:
            raise self.failure
        store = self._store
        allot(store, topology)
        store.connectors.forget(connectors.deleted(topology, store.connectors.states()))
        with store.transaction():
            present = store.connectors.instances()
            store.connectors.add(connectors.additions(topology, present, store.connectors.next_serial))
        if self.healthy:
            store.connectors.set_health({instance.name: "healthy" for instance in store.connectors.instances()})
            self._replace(topology)
        self.plan = compile_topology(topology, store.running)
        return Ticket()

    def _replace(self, topology: Topology) -> None:
        """Give connectors instances of their machine type, as the controller does, one after the other."""
        known = self._store.connectors
        while gone := list(connectors.next_outdated(topology, known.instances())):
            pairs = connectors.replacements(topology, known.instances(), gone, known.next_serial)
            known.replace((old, replace(new, health="healthy")) for old, new in list(pairs))


class Control:
    """A control plane, and what carries out what it has accepted."""

    def __init__(self, store: Store, executing: Store, shared: Store, reader: Store) -> None:
        self._wake, self._stop = threading.Event(), threading.Event()
        self.store = store
        """For the tests; on the executor's connection a read could be a part of its transaction."""
        self._executing = executing
        self.plane = ControlPlane(shared, reader=reader, wake=self._wake.set)
        self.kernel = Compiling(executing)
        self.images = Images()
        self._executor = Executor(self.plane.ended)
        self._thread = threading.Thread(target=self._execute)

    def settle(self) -> None:
        """Carry out what was accepted, where no thread does."""
        self._executor.round(self._executing, self.kernel)

    def _execute(self) -> None:
        while not self._stop.is_set():
            if self._wake.wait(0.02):
                self._wake.clear()
            self.settle()

    @contextmanager
    def running(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self._stop.set()
            self._thread.join()


class Api:
    """A control plane, and how to call it."""

    def __init__(self, control: Control, keys: SqliteKeys) -> None:
        self.store, self.plane, self.kernel, self.images = control.store, control.plane, control.kernel, control.images
        self.settle = control.settle
        self.identity = Identity(keys)
        services.register_all()
        folder = self.plane.store.folder
        self.audit = AuditLog(folder)
        dispatcher = Dispatcher(self.plane, self.images, self.audit, self.identity, window=5.0)
        uploads = Uploads(folder / "uploads", self.plane, self.identity)
        self.rest = Rest(dispatcher, self._principal, uploads)
        self.dispatcher = dispatcher

    def _principal(self, header: str | None) -> str:
        return self.identity.principal(header, 0.0) if header else OWNER

    # -- calls ----------------------------------------------------------------------------------------------------

    def get(self, path: str, **query: Any) -> Json:
        return self.call("GET", path, **query)

    def post(self, path: str, body: Json | None = None, **query: Any) -> Json:
        return self.call("POST", path, body, **query)

    def patch(self, path: str, body: Json, **query: Any) -> Json:
        return self.call("PATCH", path, body, **query)

    def put(self, path: str, body: Json, **query: Any) -> Json:
        return self.call("PUT", path, body, **query)

    def delete(self, path: str, **query: Any) -> Json:
        return self.call("DELETE", path, **query)

    def call(self, verb: str, path: str, body: Json | None = None, host: str = HOST, **query: Any) -> Json:
        """Call a method: `api.get("v1/projects/demo/locations")`.  An operation has had time to end.

        Raises:
            Refused: the answer is an error.
        """
        text = b"" if body is None else json.dumps(body).encode()
        status, answer = self.send(verb, path, text, host=host, query=urlencode(query, doseq=True))
        value: Json = json.loads(answer) if answer.strip() else {}
        if status >= 400:
            raise Refused(status, value)
        if match := self.dispatcher.router.find(verb, path, None):
            method = match.method
            faults = faults_in(document(method.api), method.response, value) if method.response else []
            assert not faults, f"{method.id}: {faults}"
        return value

    def send(
        self,
        verb: str,
        path: str,
        body: bytes = b"",
        *,
        host: str = HOST,
        query: str = "",
        headers: dict[str, str] | None = None,
    ) -> tuple[int, bytes]:
        """Send a request as bytes; returns status and body."""
        return asyncio.run(self.answer(verb, path, body, host=host, query=query, headers=headers))

    async def answer(
        self,
        verb: str,
        path: str,
        body: bytes = b"",
        *,
        host: str = HOST,
        query: str = "",
        headers: dict[str, str] | None = None,
    ) -> tuple[int, bytes]:
        """The same, among others."""
        status, answer, _ = await self.exchange(verb, path, body, host=host, query=query, headers=headers)
        return status, answer

    async def exchange(
        self,
        verb: str,
        path: str,
        body: bytes = b"",
        *,
        host: str = HOST,
        query: str = "",
        headers: dict[str, str] | None = None,
        rest: Rest | None = None,
        receive: Receive | None = None,
    ) -> tuple[int, bytes, dict[str, str]]:
        """The same; returns the answer's headers as well.  `receive` is how the body comes, if not at once."""
        given = {"host": host, **(headers or {})}
        target = path if "://" in path else f"/{path}"
        scope = {
            "type": "http",
            "method": verb,
            "path": target,
            "raw_path": target.encode(),
            "query_string": query.encode(),
            "headers": [(k.lower().encode(), v.encode()) for k, v in given.items()],
        }
        sent: list[Any] = []

        async def whole() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        await (rest or self.rest)(scope, receive or whole, send)
        named = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return sent[0]["status"], b"".join(one.get("body", b"") for one in sent[1:]), named


@contextmanager
def control(
    folder: Path, monkeypatch: pytest.MonkeyPatch, project: str = PROJECT, *, threaded: bool = True, name: str = "t"
) -> Iterator[Control]:
    """A control plane in a folder, for as long as the context lasts; operations end by themselves if `threaded`."""
    monkeypatch.setenv("TESTBED_STATE", str(folder))
    with ExitStack() as stack:
        store = stack.enter_context(Store.open(name, create=True))
        store.replace_topology(Topology.model_validate({"name": name, "project": project}))
        store.complete = True
        made = Control(store, *(stack.enter_context(Store.open(name)) for _ in range(3)))
        if threaded:
            stack.enter_context(made.running())
        yield made


@contextmanager
def api(
    folder: Path, monkeypatch: pytest.MonkeyPatch, project: str = PROJECT, *, threaded: bool = True
) -> Iterator[Api]:
    """The same, and how to call it."""
    with (
        control(folder, monkeypatch, project, threaded=threaded) as made,
        SqliteKeys.open(made.store.folder / "keys.db") as keys,
    ):
        yield Api(made, keys)
