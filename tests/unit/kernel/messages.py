"""Netlink messages as they come from the kernel, without the kernel."""

from __future__ import annotations

from typing import Any

from testbed.kernel.dump import Message
from testbed.kernel.nexthop_messages import message


def decoded(kind: type[Any], **values: object) -> Message:
    """A message of these fields and attributes that was written and read again."""
    written = message(kind, values)
    written.encode()
    read: Message = written.copy()
    return read
