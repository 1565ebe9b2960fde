"""Health checks of connector instances: real HTTP requests through the network's firewall (behaviour 2.1.6, 2.1.7).

A probe is sent from the namespace in which Google's health checkers live: the user's rules decide whether it arrives.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from socket import socket

from testbed.fabric.allocation.running import ConnectorInstance, Health
from testbed.kernel import namespace
from testbed.model.managed_rules import HEALTH_PORT

INTERVAL = 0.5
"""Seconds between two rounds of probes (our choice; nothing is documented)."""
TIMEOUT = 1.0
"""Seconds that an instance has for its answer."""
FAILURES = 2
"""Failed probes in a row that make an instance unhealthy.  One success makes it healthy."""
_OK = 200


def ended(processes: Mapping[str, int]) -> set[str]:
    """Those whose process on this host does not exist any more."""
    return {name for name, pid in processes.items() if not Path(f"/proc/{pid}").exists()}


class _Connection(HTTPConnection):
    """HTTP over a socket that is connected already."""

    def __init__(self, connected: socket) -> None:
        super().__init__("connector", timeout=TIMEOUT)
        self.sock = connected


def answers(path: str, address: str) -> bool:
    """Whether the instance at an address answers a probe sent from the namespace at `path`."""
    try:
        connection = _Connection(namespace.connect(path, (address, HEALTH_PORT), TIMEOUT))
    except OSError:
        return False
    try:
        connection.request("GET", "/")
        return connection.getresponse().status == _OK
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


class HealthChecker:
    """Remembers failures in a row, and says what each instance's health is after a round."""

    def __init__(self) -> None:
        self._failures: dict[str, int] = {}

    def round(
        self, instances: Iterable[ConnectorInstance], paths: Mapping[str, str], ended: Container[str] = ()
    ) -> dict[str, Health]:
        """Probe all instances at once; `paths` says for each connector where its probes come from.

        Instances that are known to have ended are unhealthy without a probe.
        """
        probed = list(instances)
        if not probed:
            return {}
        with ThreadPoolExecutor(len(probed)) as pool:
            results = list(pool.map(lambda i: i.name not in ended and answers(paths[i.connector], i.address), probed))
        judged = {i.name: self.judge(i, ok=ok) for i, ok in zip(probed, results, strict=True)}
        return {name: "unhealthy" if name in ended else health for name, health in judged.items()}

    def judge(self, instance: ConnectorInstance, *, ok: bool) -> Health:
        """An instance's health after one more probe."""
        failures = 0 if ok else self._failures.get(instance.name, 0) + 1
        self._failures[instance.name] = failures
        if ok:
            return "healthy"
        if instance.health == "starting" or failures < FAILURES:
            return instance.health
        return "unhealthy"
