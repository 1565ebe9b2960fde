"""What the limits of connector instances have dropped, each by its own cause."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from testbed.errors import FailedPrecondition, NotFound
from testbed.fabric.serverless.region import RETURN
from testbed.kernel.firewall import counters
from testbed.kernel.queueing import dropped
from testbed.model.drop_causes import CONNECTOR_CONNECTIONS, CONNECTOR_NEW_CONNECTIONS, CONNECTOR_RATE

TO_NETWORK, TO_RUNTIMES = f"{CONNECTOR_RATE.id}-to-network", f"{CONNECTOR_RATE.id}-to-runtimes"
_WORDS: Mapping[str, str] = {
    TO_NETWORK: "rate to network",
    TO_RUNTIMES: "rate to runtimes",
    CONNECTOR_NEW_CONNECTIONS.id: "new connections",
    CONNECTOR_CONNECTIONS.id: "connections",
}


def rate_drops(path: str) -> Mapping[str, int]:
    """How many packets found a queue of an instance full, for each direction.

    An instance that has no limit of its rate any more has forgotten what it dropped.

    Raises:
        NotFound, FailedPrecondition: the instance is gone.
    """
    found = dict.fromkeys((TO_NETWORK, TO_RUNTIMES), 0)
    for (device, _), count in dropped(path).items():
        found[TO_RUNTIMES if device == RETURN else TO_NETWORK] += count
    return found


def limit_drops(pid: int) -> Mapping[str, int]:
    """The same for all limits of an instance, by the process that it runs; zeros if it is gone."""
    path, found = f"/proc/{pid}/ns/net", dict.fromkeys(_WORDS, 0)
    with suppress(NotFound, FailedPrecondition):
        found |= rate_drops(path)
        for rule in counters(path):
            if rule.comment in found:
                found[rule.comment] += rule.packets
    return found


def in_words(drops: Mapping[str, int]) -> str:
    """The same for people, without what did not happen."""
    return ", ".join(f"{_WORDS[cause]} {count}" for cause, count in drops.items() if count) or "0"
