"""How work in other threads is stopped: what each of them waits for is ended, and so it fails."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import docker
import requests


class Stop:
    """Ends programs and answers of the Docker Engine that work waits for, all those to come as well."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ends: list[Callable[[], None]] = []
        self._stopped = False

    def all(self) -> None:
        """Stop: everything that runs, and whatever is begun later."""
        with self._lock:
            self._stopped = True
            ends, self._ends = self._ends, []
        for end in ends:
            _end(end)

    def run(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Run a program to its end, or until it is stopped."""
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
        ) as process:
            self._add(lambda: _terminate(process))
            output, errors = process.communicate()
        return subprocess.CompletedProcess(command, process.returncode, output, errors)

    def watch(self, client: docker.DockerClient) -> None:
        """Let the answers to this client be stopped; the engine gives up a build or a pull that nobody listens to."""
        client.api.hooks["response"].append(self._answered)

    def _answered(self, response: requests.Response, **_: Any) -> None:
        self._add(response.raw.shutdown)

    def _add(self, end: Callable[[], None]) -> None:
        with self._lock:
            if not self._stopped:
                self._ends.append(end)
                return
        _end(end)


def _terminate(process: subprocess.Popen[str]) -> None:
    """End a program and those that it runs: mmdebstrap(1), told alone, waits until they have ended by themselves."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)


def _end(end: Callable[[], None]) -> None:
    with suppress(OSError, RuntimeError, ValueError):  # it has ended by itself
        end()
