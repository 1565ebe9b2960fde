"""TCP connections that a runtime holds open to a VM, and a stream of new ones, with what the VM sees of them.

They are opened inside the runtime's container, so they take the way of its own: tunnel, connector instance, network.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.e2e.program import Program

HOLD = """
import json, socket, sys
from concurrent.futures import ThreadPoolExecutor
flows = [socket.create_connection(("10.128.0.2", 7)) for _ in range(int(sys.argv[1]))]
def ask(flow):
    try:
        flow.settimeout(5)
        flow.sendall(b"who am I\\n")
        return flow.recv(100).decode().split(" ")[0] or None
    except OSError:
        return None
with ThreadPoolExecutor(len(flows)) as pool:
    for _ in sys.stdin:
        print(json.dumps(list(pool.map(ask, flows))), flush=True)
"""
STREAM = """
import json, socket, sys, threading, time
tries, running = [], True
def one():
    began = time.time()
    try:
        with socket.create_connection(("10.128.0.2", 7), 0.9) as flow:  # before the kernel would try again
            flow.sendall(b"who am I\\n")
            tries.append((began, flow.recv(100).decode().split(" ")[0]))
    except OSError:
        tries.append((began, None))
flows = []
def stream():
    while running:
        flows.append(threading.Thread(target=one))
        flows[-1].start()
        time.sleep(0.02)
streaming = threading.Thread(target=stream)
streaming.start()
print("ready", flush=True)
sys.stdin.read()
running = False
for thread in (streaming, *flows):
    thread.join()
print(json.dumps(tries), flush=True)
"""


@dataclass(frozen=True)
class Try:
    """An attempt to open a connection."""

    time: float
    """When it began, as `time.time` counts."""
    source: str | None
    """The address that the VM saw, None if there was no answer within 0.9 s."""


class Held:
    """Connections that are held open."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self) -> list[str | None]:
        """For each connection the address that the VM sees now, or None if it is broken."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        sources: list[str | None] = json.loads(self._process.stdout.readline())
        return sources


@contextmanager
def held(bed: Program, count: int, node: str = "relay") -> Iterator[Held]:
    """Hold so many connections from a runtime."""
    with _python(bed, node, HOLD, str(count)) as process:
        yield Held(process)


@contextmanager
def stream(bed: Program) -> Iterator[list[Try]]:
    """Open fifty connections a second; the list holds all of them after the context."""
    tries: list[Try] = []
    with _python(bed, "relay", STREAM) as process:
        assert process.stdin
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        yield tries
        process.stdin.close()
        tries += [Try(*one) for one in json.loads(process.stdout.readline())]


@contextmanager
def _python(bed: Program, node: str, script: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = bed.command("exec", node, "--", "python3", "-c", script, *arguments)
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=bed.variables()
    ) as process:
        try:
            yield process
        finally:
            process.kill()
