"""Makes the name server read what was written as FILE.new, and ends when it answers by it.

Each file takes the place of the one before as a whole, for the server may be reading.  The server goes on answering by
what it has until the new content of a zone is read as a whole (SIGHUP).  It reads a file only if that is younger than
what it has, so each one is dated first.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

FOLDER = Path("/var/lib/testbed/dns")
INDEX = FOLDER / "index.json"
NEW = ".new"
PATIENCE = 30.0
"""Seconds."""
AGAIN = 1.0
"""Seconds after which the server is told again: it passes over a file that changes while it is being read."""
POLL = 0.02
_SOA, _IN = 6, 1


def main() -> None:
    """Tell the server, and wait until every zone of each view has the serial number that was written."""
    put_in_place()
    index = json.loads(INDEX.read_text())
    files = {Path(path) for path in index["files"]}
    left: list[dict[str, Any]] = index["serials"]
    start = again = time.monotonic()
    while left := [zone for zone in left if not serves(**zone)]:
        now = time.monotonic()
        if now > start + PATIENCE:
            sys.exit("not served: " + ", ".join(f"{zone['name']} at {zone['address']}" for zone in left))
        if now >= again:
            tell(files)
            again = now + AGAIN
        time.sleep(POLL)
    remove_all_but(files)


def put_in_place() -> None:
    """Put what is new in the place of the old: the index last, for all is there by then that it names."""
    new = {*FOLDER.glob(f"zones/*{NEW}"), *FOLDER.glob(f"*{NEW}")}
    for path in sorted(new, key=lambda path: (path.name == f"{INDEX.name}{NEW}", path.parent == FOLDER)):
        path.replace(path.with_name(path.name.removesuffix(NEW)))


def tell(files: set[Path]) -> None:
    """Make the server read the files, if it has started."""
    for path in files:
        os.utime(path)
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # a process has ended
            if (process / "comm").read_text().strip() == "named":
                os.kill(int(process.name), signal.SIGHUP)


def remove_all_but(files: set[Path]) -> None:
    """Remove what was written for zones that are no more."""
    for path in {*(FOLDER / "zones").iterdir()} - files:
        path.unlink()


def serves(address: str, name: str, serial: int) -> bool:
    """Whether the view at an address has a zone with this serial number."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split(".") if label)
    query = struct.pack("!6H", 1, 0, 1, 0, 0, 0) + labels + struct.pack("!BHH", 0, _SOA, _IN)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        asked.settimeout(0.5)
        try:
            asked.connect((address, 53))
            asked.send(query)
            answer = asked.recv(4096)
        except OSError:  # it is not there yet
            return False
    # The numbers of the SOA are the last of its data and never compressed (RFC 1035, section 3.3.13).
    return struct.pack("!I", serial) in answer[len(query) :]


if __name__ == "__main__":
    main()
