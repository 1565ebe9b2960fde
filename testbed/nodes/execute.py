"""Commands in containers: with the caller's own streams, or with their output caught."""

from __future__ import annotations

import os
import re
import select
import signal
import termios
import threading
import tty
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from types import FrameType

import docker

from testbed.errors import DeadlineExceeded
from testbed.nodes.execution import CHUNK, STDERR, STDOUT, ExecInstance

CANNOT_EXECUTE, NOT_FOUND = 126, 127
"""Exit statuses of a command that was not begun, as shells have them."""
_NOT_BEGUN = b"OCI runtime exec failed"
"""How the text begins that Docker gives for the output of such a command."""
_MISSING = re.compile(rb"executable file not found|no such file or directory")
STANDARD = (0, 1, 2)
"""This process's own standard input, output and error."""
Streams = tuple[int, int, int]
"""File descriptors of an input, an output and an error stream."""


def passed_through(
    client: docker.DockerClient, container: str, argv: Sequence[str], streams: Streams = STANDARD
) -> int:
    """Run a command in a container with the caller's streams, byte for byte; returns its exit status.

    If input and output are terminals, the command gets one, too.

    Raises:
        FailedPrecondition: the container does not run.
        OSError: an output cannot be written; the command is killed.

    """
    stdin, stdout, stderr = streams
    interactive = os.isatty(stdin) and os.isatty(stdout)
    targets = {STDOUT: stdout, STDERR: stderr}
    with ExecInstance(client.api, container, argv, stdin=True, tty=interactive) as execution:
        with raw_terminal(execution, stdin) if interactive else nullcontext(), feeding(execution, stdin):
            output = execution.output()
            stream, said = next(output, (STDOUT, b""))
            if said.startswith(_NOT_BEGUN):
                said += b"".join(data for _, data in output)
                if execution.status() in (CANNOT_EXECUTE, NOT_FOUND):
                    write(stderr, f"{argv[0]}: {_reason(said)}\n".encode())
                    return NOT_FOUND if _MISSING.search(said) else CANNOT_EXECUTE
            write(targets[stream], said)
            for stream, data in output:
                write(targets[stream], data)
        return execution.status()


def _reason(said: bytes) -> str:
    """Why a command was not begun; Docker says it last."""
    if _MISSING.search(said):
        return "not found in the container"
    return said.decode(errors="replace").strip().removesuffix(": unknown").rpartition(": ")[2]


def captured(
    client: docker.DockerClient,
    container: str,
    argv: Sequence[str],
    on_output: Callable[[bytes], object] | None = None,
    directory: str | None = None,
    *,
    timeout: float | None = None,
    given: bytes | None = None,
    user: str = "",
) -> tuple[int, bytes]:
    """Run a command; returns its exit status and output (both streams, unless `on_output` takes it).

    Its input is what is `given`, which it has to read before it writes much; it runs as `user` if that is not empty.

    Raises:
        FailedPrecondition: the container does not run.
        DeadlineExceeded: the command did not end within `timeout` seconds; it was killed.

    """
    output = bytearray()
    take = on_output or output.extend
    begun = ExecInstance(client.api, container, argv, stdin=given is not None, directory=directory, user=user)
    with begun as execution, limited(execution, timeout):
        if given is not None:
            with suppress(OSError):  # it has ended without reading all
                execution.write(given)
            execution.end_input()
        for _, data in execution.output():
            take(data)
        return execution.status(), bytes(output)


@contextmanager
def limited(execution: ExecInstance, timeout: float | None) -> Iterator[None]:
    """Kill a command that does not end in time, in seconds, and say so."""
    if timeout is None:
        yield
        return
    expired = threading.Event()

    def expire() -> None:
        expired.set()
        execution.kill()

    timer = threading.Timer(timeout, expire)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
    if expired.is_set():
        raise DeadlineExceeded(f"{execution}: not ended within {timeout:g} s")


def write(descriptor: int, data: bytes) -> None:
    """Write all of the data."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


@contextmanager
def feeding(execution: ExecInstance, stdin: int) -> Iterator[None]:
    """Give a command what can be read from `stdin`, in a thread that ends with this context."""
    wake, woken = os.pipe()

    def feed() -> None:
        while True:
            ready, _, _ = select.select([stdin, wake], [], [])
            if wake in ready:
                return
            data = os.read(stdin, CHUNK)
            if not data:
                execution.end_input()
                return
            try:
                execution.write(data)
            except OSError:  # the command has ended, which its output will say, too
                return

    thread = threading.Thread(target=feed, name="stdin", daemon=True)
    thread.start()
    try:
        yield
    finally:
        os.close(woken)
        execution.end_input()  # the thread may be stuck with input that nobody reads
        thread.join()
        os.close(wake)


@contextmanager
def raw_terminal(execution: ExecInstance, terminal: int) -> Iterator[None]:
    """Give the caller's terminal to a command that has one of its own: every key reaches it, and so does the size."""
    before = termios.tcgetattr(terminal)

    def resize(_signal: int, _frame: FrameType | None) -> None:
        columns, rows = os.get_terminal_size(terminal)
        execution.resize(rows, columns)

    handler = signal.signal(signal.SIGWINCH, resize)
    tty.setraw(terminal)
    try:
        resize(signal.SIGWINCH, None)
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
        signal.signal(signal.SIGWINCH, handler)
