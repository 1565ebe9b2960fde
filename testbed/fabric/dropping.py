"""Rules of the kernel's firewall that drop packets, and say why."""

from __future__ import annotations

from testbed.model.drop_causes import DropCause


def drop(cause: DropCause, subject: str = "") -> str:
    """The end of an iptables rule that drops for a cause; `subject` is the object that it is about, if it has a name.

    Whoever reads the counters knows the cause by the comment (`testbed.model.drop_causes.cause_of`).
    """
    return f"-m comment --comment {cause.id}{subject and '-'}{subject} -j DROP"
