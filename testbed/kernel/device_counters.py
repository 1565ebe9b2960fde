"""What a device has carried, as the kernel counts it anyway."""

from __future__ import annotations

from pathlib import Path


def device_bytes(pid: int, device: str) -> int | None:
    """Bytes received and sent by a device in the namespace of a process; None if either is gone.

    They are in /proc/PID/net/dev (proc(5)): the first and the ninth column.
    """
    try:
        lines = Path(f"/proc/{pid}/net/dev").read_text(encoding="ascii").splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return None
    for line in lines:
        name, _, columns = line.partition(":")
        if name.strip() == device:
            values = columns.split()
            return int(values[0]) + int(values[8])
    return None
