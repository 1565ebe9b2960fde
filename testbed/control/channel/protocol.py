"""What goes over the controller's socket: lines of JSON, one message each.

The controller begins with a greeting, which says the version of this protocol.  The client sends one request.  Then
the controller sends progress, as often as there is some, and at last a result or an error.  Meanwhile the client may
cancel.  A connection is for one request.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import BinaryIO

from testbed import errors
from testbed.control.state.progress import Progress
from testbed.errors import Internal, InvalidArgument, TestbedError
from testbed.json_object import Json

PROTOCOL = 1
"""Raised by one whenever a message changes its meaning."""
SOCKET = "control.sock"
LONGEST = 64 << 20
"""Bytes of a message: a topology file, or the body of a request to a service."""

_CLASSES: Mapping[str, type[TestbedError]] = {
    kind.status: kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, TestbedError)
}


def send(stream: BinaryIO, message: Json) -> None:
    """Write a message.  Raises OSError if nobody is there to read it."""
    stream.write(json.dumps(message, separators=(",", ":")).encode() + b"\n")
    stream.flush()


def receive(stream: BinaryIO) -> Json | None:
    """The next message; None if the other side has ended.

    Raises:
        InvalidArgument: what came is not a message.
    """
    line = stream.readline(LONGEST)
    if not line:
        return None
    try:
        message = json.loads(line)
    except ValueError as error:
        raise InvalidArgument(f"message on the control socket: it is not JSON: {error}") from None
    if not isinstance(message, dict):
        raise InvalidArgument("message on the control socket: it is not a JSON object")
    return message


def of_error(error: TestbedError) -> Json:
    """An error as a message."""
    return {"error": {"status": error.status, "message": error.message, "hint": error.hint, "reason": error.reason}}


def to_error(value: Json) -> TestbedError:
    """The error that a message tells of."""
    kind = _CLASSES.get(str(value.get("status")), Internal)
    return kind(str(value.get("message", "")), hint=value.get("hint"), reason=value.get("reason"))


def of_progress(step: Progress) -> Json:
    """A step of the work as a message."""
    return {"progress": asdict(step)}


def to_progress(value: Json) -> Progress:
    """The step that a message tells of."""
    return Progress(**value)


def within_reach(folder: Path, stack: ExitStack) -> Path:
    """A short path of a folder for this process alone: that of a socket has 107 bytes at most, see unix(7)."""
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    stack.callback(os.close, descriptor)
    return Path(f"/proc/self/fd/{descriptor}")
