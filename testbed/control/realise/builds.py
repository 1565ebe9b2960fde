"""The packages of sources that operations deploy: installed before a deployment takes effect.

One that fails leaves what serves as it is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from concurrent.futures import Future
from pathlib import Path

from testbed.control.state.operations import Operation
from testbed.errors import CODES
from testbed.foreign_errors import translated
from testbed.json_object import Json
from testbed.nodes.packages.installer import Packages

_CODES = {"cloudfunctions.functions": CODES["INVALID_ARGUMENT"], "appengine.versions": CODES["FAILED_PRECONDITION"]}
"""The codes of failed builds (recalled)."""


class Builds:
    """The builds of one testbed's operations."""

    def __init__(self) -> None:
        self._running: dict[str, list[Future[Path | None]]] = {}

    def over(self, packages: Packages, operation: Operation) -> bool:
        """Whether everything is installed, or never will be; the first look begins."""
        if operation.id not in self._running:
            self._running[operation.id] = [packages.begin(source) for source in _sources(operation)]
        return all(build.done() for build in self._running[operation.id])

    def failure(self, operation: Operation) -> Json | None:
        """Why an operation's build has failed, as a `google.rpc.Status`."""
        error = next(filter(None, (build.exception() for build in self._running[operation.id])), None)
        if error is None:
            return None
        known = translated(error)
        return {"code": _CODES.get(operation.kind, CODES[known.status]), "message": known.message}

    def forget(self, others: Collection[str]) -> None:
        """Keep only the builds of these operations."""
        self._running = {name: one for name, one in self._running.items() if name in others}


def _sources(operation: Operation) -> Iterator[Path]:
    for change in operation.changes:
        body = change.body or {}
        if change.kind == "cloudfunctions.functions":
            found = body.get("buildConfig", {}).get("source")
        elif change.kind == "appengine.versions":
            found = body.get("deployment", {}).get("zip", {}).get("sourceUrl")
        else:
            found = None
        if found:
            yield Path(found)
