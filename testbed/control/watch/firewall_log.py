"""The log of the VPC firewall: reads what the kernel notes of logged rules, and keeps records in Google's shape.

Records are kept in the testbed's folder, and read by `testbed logs --firewall` and Cloud Logging's API.  The controller
writes them; while there is none, nothing is logged.
"""

from __future__ import annotations

import logging
import secrets
import selectors
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from testbed.control.state.json_lines import JsonLines
from testbed.errors import TestbedError, Unimplemented
from testbed.fabric.allocation.keys import NameKey
from testbed.fabric.allocation.running import Running
from testbed.fabric.firewall.log_chains import GROUP
from testbed.fabric.firewall.log_details import logged
from testbed.fabric.firewall.log_records import LoggedConnection, Records
from testbed.json_object import Json
from testbed.kernel import capabilities, namespace, nflog
from testbed.model.topology import Topology

FILE, OLDER = "firewall.jsonl", "firewall-older.jsonl"
LARGEST = 32 << 20
"""Bytes after which a new file is begun; of the older ones, one is kept (our choice: Google keeps 30 days)."""
INTERVAL = 5.0
"""Seconds in which a denied connection is logged once, however many packets it sends."""
LIMIT = 500
"""Connections of one VM that are logged in an interval: what Google grants one with one vCPU; ours have no size."""
_TICK = 0.1
_PATIENCE = 2.0
"""Seconds for which a note waits for its rule.  That of a rule that is gone is given up."""
log = logging.getLogger("testbed.firewall")

Key = tuple[str, str, LoggedConnection]


def file_in(folder: Path) -> JsonLines:
    """The records of the testbed that has this folder."""
    return JsonLines(folder / FILE, folder / OLDER)


def places(topology: Topology, running: Running) -> dict[str, str]:
    """Where each network's namespace is found, by the network's full name."""
    names = (network.full_name for network in topology.compute.networks)
    return {name: namespace.segment(topology.name, running.name(NameKey.network(name))) for name in names}


def require(topology: Topology) -> None:
    """See that this kernel can log, if any rule is to be logged.

    Raises:
        Unimplemented: it cannot.
    """
    names = (network.full_name for network in topology.compute.networks)
    first = next((one.rule.label for name in names for one in logged(topology, name).values()), None)
    if first and (refusal := _refusal()):
        raise Unimplemented(
            f"firewall rule {first}: this kernel cannot log it: {refusal}",
            hint="leave logConfig and enableLogging out; `testbed doctor` says what the kernel lacks",
        )


@cache
def _refusal() -> str:
    """What the kernel says if it cannot log."""
    found = capabilities.nflog_works()
    return "" if found.present else found.detail


class Limiter:
    """One record per connection and interval, and no more of a VM than the limit."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._begin = clock()
        self._now, self._before = set[Key](), set[Key]()
        self._count = Counter[tuple[str, str]]()

    def passes(self, network: str, vm: str, rule: str, connection: LoggedConnection) -> bool:
        """Whether this is to be logged."""
        if (elapsed := self._clock() - self._begin) >= INTERVAL:
            self._begin += elapsed
            self._before = self._now if elapsed < 2 * INTERVAL else set()
            self._now = set()
            self._count.clear()
        key = (network, rule, connection)
        if key in self._now or key in self._before or self._count[network, vm] >= LIMIT:
            return False
        self._now.add(key)
        self._count[network, vm] += 1
        return True


@dataclass(slots=True)
class _Listener:
    """A network that is listened to."""

    socket: socket.socket
    place: tuple[int, int]
    """Which namespace it is: another one may get its name."""
    records: Records
    early: list[tuple[float, nflog.Note]] = field(default_factory=list)
    """Notes of rules that are not known yet, with when they came: the kernel has new rules a moment sooner."""


class FirewallLog:
    """Listens to networks and writes, in a thread of its own."""

    def __init__(self, file: JsonLines) -> None:
        self._file = file
        self._listeners: dict[str, _Listener] = {}
        self._lock = threading.Lock()
        self._selector = selectors.DefaultSelector()
        self._limiter = Limiter()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="firewall log", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Write what there is, and end."""
        self._stop.set()
        self._thread.join()
        with self._lock:
            self._take()
            for network in list(self._listeners):
                self._forget(network)
            self._selector.close()

    def watch(self, topology: Topology, running: Running, paths: Mapping[str, str]) -> None:
        """Listen to networks whose rules are now those of a topology; `paths` says, by full name, where each one is."""
        with self._lock:
            self._take()
            for network, path in paths.items():
                place, records = namespace.identity(path), Records(topology, running, network)
                known = self._listeners.get(network)
                if known is not None and place == known.place:
                    known.records = records
                    continue
                if known is not None:
                    self._forget(network)
                if place is not None:
                    self._listen(network, path, place, records)
            for network in self._listeners.keys() - paths.keys():
                self._forget(network)
            self._take()

    def _listen(self, network: str, path: str, place: tuple[int, int], records: Records) -> None:
        try:
            made = nflog.listen(path, GROUP)
        except TestbedError as error:
            log.warning("the firewall log of %s: %s", network, error.message)
            return
        self._listeners[network] = _Listener(made, place, records)
        self._selector.register(made, selectors.EVENT_READ)

    def _forget(self, network: str) -> None:
        one = self._listeners.pop(network)
        self._selector.unregister(one.socket)
        one.socket.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            if not self._selector.get_map() or not self._selector.select(_TICK):
                self._stop.wait(_TICK)
            with self._lock:
                self._take()

    def _take(self) -> None:
        """Write down what has been noted."""
        entries = [entry for network, one in self._listeners.items() for entry in self._entries(network, one)]
        if entries:
            try:
                self._file.append(entries, LARGEST)
            except OSError as error:  # the folder is going, or the disk is full
                log.warning("the firewall log cannot be written: %s", error.strerror)

    def _entries(self, network: str, one: _Listener) -> Iterator[Json]:
        now = time.time()
        notes = [*one.early, *((now, note) for note in nflog.read(one.socket))]
        one.early = []
        for time_, note in notes:
            if note.prefix not in one.records.rules:
                if now - time_ < _PATIENCE and len(one.early) < LIMIT:
                    one.early.append((time_, note))
                continue
            connection = LoggedConnection(
                note.source, note.source_port, note.destination, note.destination_port, note.protocol
            )
            vm = one.records.vm(note.prefix, connection)
            if one.records.tells_of(vm) and self._limiter.passes(network, vm, note.prefix, connection):
                entry = one.records.entry(note.prefix, connection, note.time or time_)
                yield {"insertId": secrets.token_hex(8), **entry}
