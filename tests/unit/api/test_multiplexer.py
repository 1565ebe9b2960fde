"""The door before back ends that tell what they got, and before the real ones, with real clients."""

from __future__ import annotations

import asyncio
import logging
import select
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
import requests
import uvicorn

from testbed.api.frontdoor import pipe
from testbed.api.frontdoor.certificates import Certificates, ensure, server_context
from testbed.api.frontdoor.http_connect import HEAD_LIMIT
from testbed.api.frontdoor.listener import listen
from testbed.api.frontdoor.multiplexer import Door
from testbed.api.frontdoor.pipe import Stream
from testbed.api.frontdoor.protocol import Greeting, greeting
from testbed.control.channel.protocol import within_reach
from tests.waiting import PATIENCE, QUIET

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return ensure(tmp_path_factory.mktemp("state"), "bed")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """One for sockets, by a short path, however long that of the machine's temporary files is."""
    with ExitStack() as stack:
        yield within_reach(tmp_path, stack)


@pytest.fixture
def tls(certificates: Certificates) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificates.ca))


class House:
    """A door with its back ends."""

    def __init__(self, folder: Path, certificates: Certificates) -> None:
        self.rest, self.grpc, self.listener = folder / "rest", folder / "grpc", listen(0)
        self.port: int = self.listener.getsockname()[1]
        self.tls = server_context(certificates)
        self.door: asyncio.Task[None]

    async def connect(self, first: bytes = b"", **options: Any) -> Stream:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, **options)
        writer.write(first)
        return reader, writer

    async def ask(self, first: bytes, **options: Any) -> bytes:
        """All that comes for these bytes."""
        return await answer(await self.connect(first, **options))

    async def tunnel(self, host: str, **options: Any) -> bytes:
        """What comes for a request for a tunnel, and a question through it."""
        reader, writer = await self.connect(f"CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n".encode())
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 200 Connection established\r\n\r\n"
        if options:
            await writer.start_tls(server_hostname=host, **options)
        writer.write(GET)
        return await answer((reader, writer))


async def answer(stream: Stream) -> bytes:
    reader, writer = stream
    try:
        return await reader.read()
    finally:
        await close(writer)


async def close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


def naming(name: str) -> Talk:
    """A back end that answers with its name and what it got, and ends."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(name.encode() + b":" + await reader.read(4096))
        await close(writer)

    return talk


@asynccontextmanager
async def house(
    folder: Path, certificates: Certificates, *, rest: Talk | None = None, **limits: Any
) -> AsyncIterator[House]:
    made = House(folder, certificates)
    async with (
        asyncio.timeout(PATIENCE),
        await asyncio.start_unix_server(rest or naming("rest"), made.rest, backlog=1024),
        await asyncio.start_unix_server(naming("grpc"), made.grpc),
        opened(made, **limits),
    ):
        yield made


@asynccontextmanager
async def opened(made: House, **limits: Any) -> AsyncIterator[None]:
    door = Door(made.rest, made.grpc, made.tls, **{"allowed": lambda _host: True} | limits)
    made.door = asyncio.create_task(door.serve(made.listener))
    try:
        yield
    finally:
        made.door.cancel()
        await asyncio.wait({made.door})
    assert made.door.cancelled()  # no error ended it before


@pytest.fixture
def run(folder: Path, certificates: Certificates) -> Callable[..., None]:
    """Run a scenario in a house."""

    def run(scenario: Callable[[House], Coroutine[Any, Any, None]], **options: Any) -> None:
        async def main() -> None:
            async with house(folder, certificates, **options) as made:
                await scenario(made)
            left = asyncio.all_tasks() - {asyncio.current_task()}
            await asyncio.wait_for(asyncio.gather(*left), PATIENCE)  # the stubs' last steps; the door has left none
            assert not [task for task in left if "Door" in repr(task)]

        asyncio.run(main())

    return run


Run = Callable[..., None]


# -- where a connection goes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "goes"), [(GET, b"rest:" + GET), (PREFACE, b"grpc:" + PREFACE), (b"\0\xff\r\n", b"rest:\0\xff\r\n")]
)
def test_plain_bytes_go_unchanged_to_whom_they_are_for(run: Run, first: bytes, goes: bytes) -> None:
    async def scenario(door: House) -> None:
        assert await door.ask(first) == goes

    run(scenario)


@pytest.mark.parametrize(
    ("alpn", "goes"), [(None, b"rest:"), (["h2"], b"grpc:"), (["h2", "http/1.1"], b"rest:"), (["http/1.1"], b"rest:")]
)
def test_tls_goes_by_what_the_client_offers(run: Run, tls: ssl.SSLContext, alpn: list[str] | None, goes: bytes) -> None:
    if alpn:
        tls.set_alpn_protocols(alpn)

    async def scenario(door: House) -> None:
        assert await door.ask(GET, ssl=tls, server_hostname="localhost") == goes + GET
        assert await door.tunnel("vpcaccess.googleapis.com", sslcontext=tls) == goes + GET

    run(scenario)


def test_a_tunnel_without_tls(run: Run) -> None:
    async def scenario(door: House) -> None:
        assert await door.tunnel("localhost") == b"rest:" + GET

    run(scenario)


def test_what_follows_a_connect_at_once_is_not_lost(run: Run) -> None:
    async def scenario(door: House) -> None:
        told = await door.ask(b"CONNECT localhost:80 HTTP/1.1\r\nHost: x\r\n\r\n" + GET)
        assert told == b"HTTP/1.1 200 Connection established\r\n\r\nrest:" + GET

    run(scenario)


def test_the_door_leads_nowhere_else(run: Run) -> None:
    asked: list[str] = []

    def allowed(host: str) -> bool:
        asked.append(host)
        return False

    async def scenario(door: House) -> None:
        told = await door.ask(b"CONNECT example.com:443 HTTP/1.1\r\nHost: x\r\n\r\n")
        head, _, body = told.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 403 ")
        assert b"content-length: %d\r\n" % len(body) in head
        assert b"example.com" in body
        assert asked == ["example.com"]

    run(scenario, allowed=allowed)


# -- clients that are slow, wrong or many -------------------------------------------------------------------------


def test_bytes_that_come_one_by_one() -> None:
    async def scenario() -> None:
        ours, theirs = socket.create_server(("127.0.0.1", 0)), socket.socket()
        with ours, theirs:
            theirs.connect(ours.getsockname())
            theirs.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock, _ = ours.accept()
            with sock:
                sock.settimeout(0)
                found = asyncio.create_task(greeting(sock))
                for count, byte in enumerate(b"PRI * HTTP/2.0\r", 1):
                    theirs.send(bytes([byte]))
                    while sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT) != count + 1:  # noqa: ASYNC110
                        await asyncio.sleep(0)  # until it has looked at it, and waits for more
                theirs.send(b"\n")
                assert await found is Greeting.HTTP2
                assert sock.recv(100) == b"PRI * HTTP/2.0\r\n"

    asyncio.run(asyncio.wait_for(scenario(), PATIENCE))


@pytest.mark.parametrize("start", [b"PRI * H", b"CONNECT localhost:443 HTTP/1.1\r\n", b"\x16\x03\x01", b""])
def test_who_does_not_say_what_it_wants_is_not_waited_for(run: Run, start: bytes) -> None:
    async def scenario(door: House) -> None:
        with suppress(ConnectionError):
            assert await door.ask(start) == b""

    run(scenario, patience=0.05)


def test_who_ends_in_the_middle_of_it(run: Run) -> None:
    async def scenario(door: House) -> None:
        for start, told in ((b"", b""), (b"CONN", b"rest:CONN"), (b"CONNECT localhost:443", b"HTTP/1.1 400 ")):
            reader, writer = await door.connect(start)
            writer.write_eof()
            assert (await answer((reader, writer)))[: len(told) or None] == told

    run(scenario)


def test_garbage_for_tls_ends_that_connection_only(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "testbed")

    async def scenario(door: House) -> None:
        with suppress(ConnectionError):
            assert b"rest" not in await door.ask(b"\x16" + b"garbage" * 100)
        assert await door.ask(GET) == b"rest:" + GET

    run(scenario)
    assert [record.levelname for record in caplog.records if "SSL" in record.message] == ["DEBUG"]


def test_a_connect_without_end_is_not_read_to_its_end(run: Run) -> None:
    async def scenario(door: House) -> None:
        reader, writer = await door.connect(b"CONNECT localhost:443 HTTP/1.1\r\nx: " + b"a" * 4 * HEAD_LIMIT)
        assert (await reader.readline()).startswith(b"HTTP/1.1 431 ")
        await close(writer)

    run(scenario)


def test_a_first_line_without_end_is_the_back_end_s(run: Run) -> None:
    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(str(len(await reader.readexactly(1_000_000))).encode())
        await close(writer)

    async def scenario(door: House) -> None:
        assert await door.ask(b"GET /" + b"a" * 999_995) == b"1000000"

    run(scenario, rest=count)


def test_many_at_once(run: Run) -> None:
    async def scenario(door: House) -> None:
        streams = await asyncio.gather(*(door.connect() for _ in range(200)))
        for number, (_, writer) in enumerate(streams):  # all are open now, and each says something of its own
            writer.write(b"GET /%d" % number)
        told = await asyncio.gather(*map(answer, streams))
        assert told == [b"rest:GET /%d" % number for number in range(200)]

    run(scenario)


def test_more_than_there_is_room_for_wait(run: Run) -> None:
    came: asyncio.Queue[bytes] = asyncio.Queue()
    go_on = asyncio.Event()

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.put_nowait(await reader.readline())
        await go_on.wait()
        await close(writer)

    async def scenario(door: House) -> None:
        asking = [asyncio.create_task(door.ask(b"%d\n" % number)) for number in range(3)]
        assert {await came.get(), await came.get()} < {b"0\n", b"1\n", b"2\n"}
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(came.get(), QUIET)
        go_on.set()
        await came.get()
        await asyncio.gather(*asking)

    run(scenario, rest=hold, connections=2)


def test_no_caller_takes_the_room_of_all_others(run: Run) -> None:
    came: asyncio.Queue[bytes] = asyncio.Queue()

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.put_nowait(await reader.readline())
        await reader.read()  # until the caller ends
        await close(writer)

    async def scenario(door: House) -> None:
        greedy = [await door.connect(b"greedy\n") for _ in range(2)]
        assert [await came.get() for _ in greedy] == [b"greedy\n"] * 2
        for _ in range(10):
            with suppress(ConnectionError):
                assert await door.ask(b"more\n") == b""
        _, other = await door.connect(b"other\n", local_addr=("127.0.0.2", 0))
        assert await came.get() == b"other\n"
        await close(greedy.pop()[1])

        async def again() -> None:
            while came.empty():  # the door learns that the first has ended
                await close((await door.connect(b"again\n"))[1])

        await again()
        assert await came.get() == b"again\n"
        for writer in (other, greedy[0][1]):
            await close(writer)

    run(scenario, rest=hold, connections=4, of_one_caller=2)


# -- the two connections as one -----------------------------------------------------------------------------------


def test_who_has_said_all_still_hears_the_answer(run: Run) -> None:
    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(str(len(await reader.read())).encode())
        await close(writer)

    async def scenario(door: House) -> None:
        reader, writer = await door.connect(b"a" * 300_000)
        writer.write_eof()
        assert await answer((reader, writer)) == b"300000"

    run(scenario, rest=count)


def test_a_client_that_does_not_go_is_let_go(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipe, "LINGER", 0.05)

    async def scenario(door: House) -> None:
        reader, writer = await door.connect(GET)
        assert await reader.read() == b"rest:" + GET  # the end, which this client does nothing about
        assert await door.ask(GET) == b"rest:" + GET  # there is room for one only
        await close(writer)

    run(scenario, connections=1)


def test_a_client_that_is_gone_is_gone_for_the_back_end(run: Run) -> None:
    ended = asyncio.Event()

    async def stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.read(3))
        with suppress(ConnectionError):
            await reader.read()
        await close(writer)
        ended.set()

    async def scenario(door: House) -> None:
        reader, writer = await door.connect(b"GET")
        assert await reader.readexactly(3) == b"GET"
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset, no end
        await close(writer)
        await ended.wait()

    run(scenario, rest=stream)


def test_a_back_end_that_breaks_is_seen_by_the_client(run: Run) -> None:
    async def break_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1)  # and leaves the rest unread
        writer.transport.abort()

    async def scenario(door: House) -> None:
        with suppress(ConnectionError):
            assert await door.ask(b"x" * 100) == b""
        assert not door.door.done()

    run(scenario, rest=break_off)


def test_without_a_back_end_there_is_no_answer(run: Run) -> None:
    async def scenario(door: House) -> None:
        door.rest.unlink()
        with suppress(ConnectionError):
            assert await door.ask(GET) == b""
        assert await door.ask(PREFACE) == b"grpc:" + PREFACE

    run(scenario)


def test_a_back_end_that_does_not_read_stops_the_client(run: Run) -> None:
    go_on = asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await go_on.wait()
        writer.write(str(len(await reader.read())).encode())
        await close(writer)

    def flood(port: int) -> tuple[socket.socket, int]:
        sock = socket.create_connection(("127.0.0.1", port))
        sock.settimeout(0)
        sent = 0
        while select.select([], [sock], [], 0.2)[1]:  # until nothing goes any more
            sent += sock.send(b"x" * 65536)
            assert sent < 64 << 20
        sock.shutdown(socket.SHUT_WR)
        sock.settimeout(PATIENCE)
        return sock, sent

    async def scenario(door: House) -> None:
        sock, sent = await asyncio.to_thread(flood, door.port)
        with sock:
            go_on.set()
            assert await asyncio.to_thread(sock.recv, 100) == str(sent).encode()

    run(scenario, rest=slow)


def test_a_defect_is_told_and_ends_that_connection_only(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    def broken(_host: str) -> bool:
        raise ZeroDivisionError

    async def scenario(door: House) -> None:
        assert await door.ask(b"CONNECT localhost:80 HTTP/1.1\r\nHost: x\r\n\r\n") == b""
        assert await door.ask(GET) == b"rest:" + GET

    run(scenario, allowed=broken)
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "ZeroDivisionError" in caplog.text


# -- the end ------------------------------------------------------------------------------------------------------


def test_closing_lets_an_answer_come_to_its_end(run: Run) -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        asked.set()
        await go_on.wait()
        writer.write(b"done")
        await close(writer)

    async def scenario(door: House) -> None:
        asking = asyncio.create_task(door.ask(GET))
        await asked.wait()
        door.door.cancel()
        while door.listener.fileno() != -1:  # noqa: ASYNC110 - a condition, within the house's patience
            await asyncio.sleep(0)
        with pytest.raises(ConnectionRefusedError):
            await door.connect()
        assert not door.door.done()
        go_on.set()
        assert await asking == b"done"
        await asyncio.wait({door.door})

    run(scenario, rest=slow)


def test_closing_does_not_wait_for_ever(run: Run, tls: ssl.SSLContext) -> None:
    ended = asyncio.Queue[None]()

    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"x")
        with suppress(ConnectionError):
            await reader.read()
        await close(writer)
        ended.put_nowait(None)

    async def scenario(door: House) -> None:
        talking = [await door.connect(b"GET"), await door.connect(b"GET", ssl=tls, server_hostname="localhost")]
        silent = [await door.connect(), await door.connect(b"CONNECT "), await door.connect(b"\x16")]
        for reader, _ in talking:
            await reader.readexactly(1)
        door.door.cancel()
        await asyncio.wait({door.door})
        for _ in talking:
            await ended.get()
        for reader, writer in talking + silent:
            with suppress(ConnectionError):
                assert await reader.read() == b""
            await close(writer)

    run(scenario, rest=never, grace=0.05)


# -- the real back ends and real clients --------------------------------------------------------------------------


async def app(scope: dict[str, Any], _receive: object, send: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
    host = dict(scope["headers"])[b"host"]
    start = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(host))]}
    await send(start)
    await send({"type": "http.response.body", "body": host})


@asynccontextmanager
async def uvicorn_on(path: Path) -> AsyncIterator[None]:
    server = uvicorn.Server(uvicorn.Config(app, uds=str(path), lifespan="off", log_config=None))
    serving = asyncio.create_task(server._serve())  # without signal handlers
    while not server.started:  # noqa: ASYNC110 - it has no event for it
        await asyncio.sleep(0)
    try:
        yield
    finally:
        server.should_exit = True
        await serving


class Echo(grpc.GenericRpcHandler):
    """Any method, with any bytes."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        method = handler_call_details.method

        async def say(request: bytes, _context: object) -> bytes:
            return method.encode() + request

        return grpc.unary_unary_rpc_method_handler(say)


def test_rest_by_real_clients_in_all_four_forms(folder: Path, certificates: Certificates) -> None:
    def ask(port: int) -> dict[str, str]:
        door = f"http://127.0.0.1:{port}"
        with requests.Session() as session:
            session.trust_env = False
            session.verify = str(certificates.ca)
            get = partial(session.get, timeout=PATIENCE)
            proxies = {"http": door, "https": door}
            return {
                "origin": get(f"{door}/v1").text,
                "absolute": get("http://run.googleapis.com/v1", proxies=proxies).text,
                "TLS": get(f"https://localhost:{port}/v1").text,
                "CONNECT": get("https://vpcaccess.googleapis.com/v1", proxies=proxies).text,
            }

    async def main() -> None:
        made = House(folder, certificates)
        async with asyncio.timeout(PATIENCE), uvicorn_on(made.rest), opened(made):
            assert await asyncio.to_thread(ask, made.port) == {
                "origin": f"127.0.0.1:{made.port}",
                "absolute": "run.googleapis.com",
                "TLS": f"localhost:{made.port}",
                "CONNECT": "vpcaccess.googleapis.com",
            }

    asyncio.run(main())


def test_grpc_by_real_clients(folder: Path, certificates: Certificates) -> None:
    async def main() -> None:
        made = House(folder, certificates)
        server = grpc.aio.server()
        server.add_generic_rpc_handlers((Echo(),))
        server.add_insecure_port(f"unix:{made.grpc}")
        await server.start()
        trust = grpc.ssl_channel_credentials(certificates.ca.read_bytes())
        proxy = (("grpc.http_proxy", f"http://127.0.0.1:{made.port}"),)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(asyncio.timeout(PATIENCE))
            stack.push_async_callback(server.stop, None)
            await stack.enter_async_context(opened(made))
            for channel in (
                grpc.aio.insecure_channel(f"127.0.0.1:{made.port}"),
                grpc.aio.secure_channel(f"localhost:{made.port}", trust),
                grpc.aio.secure_channel("vpcaccess.googleapis.com:443", trust, options=proxy),
            ):
                await stack.enter_async_context(channel)
                say: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/testbed.Echo/Say")
                assert await say(b"!", timeout=PATIENCE) == b"/testbed.Echo/Say!"

    asyncio.run(main())
