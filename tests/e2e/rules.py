"""Firewall rules of a testbed that is up, changed by one call each: packets feel it when the call is done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from tests.e2e.program import Program
from tests.e2e.rest import Json, Rest

ALL: list[Json] = [{"IPProtocol": "all"}]
NAME = "under-test"


class Rules:
    """The firewall rules of the example's project."""

    def __init__(self, bed: Program) -> None:
        self._rest = Rest.of(bed)
        self._path = "compute/v1/projects/demo-project/global/firewalls"

    @contextmanager
    def added(self, name: str = NAME, **fields: Any) -> Iterator[None]:
        """A rule of the network `vpc` while the test lasts."""
        self._rest.make(self._path, {"name": name, "network": "global/networks/vpc", **fields})
        try:
            yield
        finally:
            self._rest.succeeds("DELETE", f"{self._path}/{name}")

    def change(self, name: str = NAME, **fields: Any) -> None:
        """Change some fields of a rule."""
        self._rest.succeeds("PATCH", f"{self._path}/{name}", fields)


def rule(bed: Program, **fields: Any) -> AbstractContextManager[None]:
    """One rule while the test lasts."""
    return Rules(bed).added(**fields)
