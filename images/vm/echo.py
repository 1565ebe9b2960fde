"""Tells callers on port 7, UDP and TCP, which source address and port it sees: `ADDRESS PORT`.

Every datagram and every line is answered with that one line, so that a caller sees when its flow's source changes.
"""

from __future__ import annotations

import asyncio

PORT = 7


def line(protocol: str, peer: tuple[str, int]) -> bytes:
    """The answer to a caller; it is logged as well."""
    address, port = peer[:2]
    print(protocol, address, port, flush=True)  # noqa: T201 - the container's log
    return f"{address} {port}\n".encode()


class Udp(asyncio.DatagramProtocol):
    """Answers every datagram."""

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        """Keep the socket to answer from."""
        self.transport = transport

    def datagram_received(self, _data: bytes, peer: tuple[str, int]) -> None:
        """Answer."""
        self.transport.sendto(line("udp", peer), peer)


async def tcp(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer every line of one connection."""
    try:
        while await reader.readline():
            writer.write(line("tcp", writer.get_extra_info("peername")))
            await writer.drain()
    except (ConnectionError, ValueError) as error:  # the caller went away, or sent a line without an end
        print("tcp", error, flush=True)  # noqa: T201 - the container's log
    finally:
        writer.close()


async def main() -> None:
    """Serve for ever."""
    loop = asyncio.get_running_loop()
    await loop.create_datagram_endpoint(Udp, local_addr=("0.0.0.0", PORT))
    server = await asyncio.start_server(tcp, "0.0.0.0", PORT)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
