"""Starts BIND as soon as the node has the addresses that it answers at: BIND ends if it has not."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from pathlib import Path

FOLDER = Path("/var/lib/testbed/dns")
POLL = 0.02
"""Seconds."""


def main() -> None:
    """Wait, then become the server."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a server that has not started yet is not ended by `reload`
    while not all(map(is_here, addresses())):
        time.sleep(POLL)
    os.execvp("named", ["named", "-g", "-n", "1", "-c", str(FOLDER / "named.conf")])  # noqa: S606


def addresses() -> set[str]:
    """The addresses of all views."""
    return {zone["address"] for zone in json.loads((FOLDER / "index.json").read_text())["serials"]}


def is_here(address: str) -> bool:
    """Whether the node has an address."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as tried:
        try:
            tried.bind((address, 0))
        except OSError:
            return False
    return True


if __name__ == "__main__":
    main()
