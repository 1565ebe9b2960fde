"""Serves Locust's web page from inside the testbed on the loopback address of the host."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from testbed.errors import FailedPrecondition, Unavailable
from testbed.load.request import LoadRequest, files
from testbed.load.run import Generator, last_words
from testbed.load.telemetry import Telemetry

WEB_PORT = 8089
"""Locust's port inside the generator."""
START_TIMEOUT = 30.0
"""Seconds that Locust has to open its port."""
CHUNK = 1 << 16

Connect = Callable[[], socket.socket]
"""Returns a connected TCP socket whose other end is inside the testbed.  May block; raises OSError if it cannot."""


def serve(
    generator: Generator,
    request: LoadRequest,
    *,
    scenarios: Path,
    connect: Connect,
    port: int = WEB_PORT,
    on_ready: Callable[[str], None] = lambda _: None,
) -> None:
    """Serves Locust's web page at 127.0.0.1:`port` until Locust ends or Ctrl-C (KeyboardInterrupt passes through).

    `connect` connects to `WEB_PORT` inside the generator, `on_ready` gets the URL.  Raises NotFound or InvalidArgument
    for a wrong scenario, FailedPrecondition if the port is taken, Unavailable if Locust does not come up.
    """
    for name, content in files(request, scenarios).items():
        generator.put_file(name, content)
    asyncio.run(_serve(generator, request, connect, port, on_ready))


async def _serve(
    generator: Generator, request: LoadRequest, connect: Connect, port: int, on_ready: Callable[[str], None]
) -> None:
    telemetry = Telemetry(lambda _: None)
    async with relay_loopback(port, connect):
        running = asyncio.create_task(asyncio.to_thread(generator.execute, request.web(WEB_PORT), telemetry.feed))
        try:
            deadline = time.monotonic() + START_TIMEOUT
            while not await asyncio.to_thread(_answers, connect):
                if running.done() or time.monotonic() > deadline:
                    if running.done():
                        running.result()  # raises what `execute` raised
                    raise Unavailable(f"web page of Locust: it did not come up: {last_words(telemetry.log)}")
                await asyncio.wait([running], timeout=0.1)
            on_ready(f"http://127.0.0.1:{port}/")
            await asyncio.shield(running)
        finally:
            generator.interrupt()


def _answers(connect: Connect) -> bool:
    try:
        connect().close()
    except OSError:
        return False
    return True


@asynccontextmanager
async def relay_loopback(port: int, connect: Connect) -> AsyncIterator[int]:
    """Relays each TCP connection to 127.0.0.1:`port` to a socket that `connect` makes; yields the port (0 picks one).

    Raises FailedPrecondition if the port is taken.
    """

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection(sock=await asyncio.to_thread(connect))
        except OSError:
            writer.close()  # nobody is there: all that a relay can say is the end of the connection
            return
        try:
            await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))
        finally:
            far_writer.close()
            writer.close()

    try:
        server = await asyncio.start_server(relay, "127.0.0.1", port)
    except OSError as error:
        raise FailedPrecondition(
            f"port {port} of 127.0.0.1: cannot be listened on: {error.strerror}", hint="choose another port"
        ) from error
    async with server:
        yield server.sockets[0].getsockname()[1]


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copies until the end of the stream, and passes that end on."""
    with suppress(OSError):
        while chunk := await reader.read(CHUNK):
            writer.write(chunk)
            await writer.drain()
        writer.write_eof()
