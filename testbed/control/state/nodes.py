"""The nodes that run, and what each was last given: tables of the testbed's store."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from testbed.control.state.transaction import transaction

SCHEMA = """
    CREATE TABLE IF NOT EXISTS processes (node TEXT PRIMARY KEY, pid INTEGER NOT NULL);
    CREATE TABLE IF NOT EXISTS configured (node TEXT PRIMARY KEY, digest TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS delivered (node TEXT PRIMARY KEY, digest TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS booted (node TEXT PRIMARY KEY, container TEXT NOT NULL);
"""


class Nodes:
    """The tables."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def processes(self) -> dict[str, int]:
        """The first process of each node that runs, by its id on the host."""
        return dict(self._db.execute("SELECT node, pid FROM processes"))

    def set_processes(self, pids: Mapping[str, int]) -> None:
        """Put these processes in the place of those that ran before."""
        with transaction(self._db):
            self._db.execute("DELETE FROM processes")
            self._db.executemany("INSERT INTO processes VALUES (?, ?)", pids.items())

    def configured(self) -> dict[str, str]:
        """By node: a digest of what its role last configured it with."""
        return dict(self._db.execute("SELECT node, digest FROM configured"))

    def set_configured(self, digests: Mapping[str, str]) -> None:
        """Write down what nodes have been configured with."""
        self._db.executemany("INSERT OR REPLACE INTO configured VALUES (?, ?)", digests.items())

    def delivered(self) -> dict[str, str]:
        """By node: a digest of the files that it has read last."""
        return dict(self._db.execute("SELECT node, digest FROM delivered"))

    def set_delivered(self, node: str, digest: str) -> None:
        """Write down what files a node has read."""
        self._db.execute("INSERT OR REPLACE INTO delivered VALUES (?, ?)", (node, digest))

    def booted(self) -> dict[str, str]:
        """By node of a VM: the container whose startup scripts were begun last."""
        return dict(self._db.execute("SELECT node, container FROM booted"))

    def set_booted(self, containers: Mapping[str, str]) -> None:
        """Write down that the startup scripts of these nodes' containers are begun: they are not begun again."""
        self._db.executemany("INSERT OR REPLACE INTO booted VALUES (?, ?)", containers.items())
