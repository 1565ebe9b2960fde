"""A fork of a process that serves gRPC: Ansible is started by one."""

from __future__ import annotations

import subprocess
import sys

from tests.waiting import PATIENCE

SCRIPT = """
import asyncio, os
import testbed.api.server
import grpc

def fork():
    child = os.fork()
    if child == 0:
        os.execv("/bin/true", ["true"])
    os.waitpid(child, 0)

async def main():
    server = grpc.aio.server()
    server.add_insecure_port("127.0.0.1:0")
    await server.start()
    for _ in range(3):
        await asyncio.to_thread(fork)
    await server.stop(0)

asyncio.run(main())
"""


def test_grpc_says_nothing_in_it() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, timeout=PATIENCE)
    assert done.stderr == ""
