"""Reads what `loadtests/telemetry.py` prints."""

from __future__ import annotations

import json
from collections.abc import Callable

from pydantic import TypeAdapter, ValidationError

from testbed.errors import Internal
from testbed.json_object import Json
from testbed.load.result import LoadOutcome, LoadProgress

PROGRESS = TypeAdapter(LoadProgress)
OUTCOME = TypeAdapter(LoadOutcome)


class Telemetry:
    """Sorts Locust's output, in whatever pieces it comes, into progress, outcome and log lines."""

    def __init__(self, on_progress: Callable[[LoadProgress], None]) -> None:
        self.on_progress = on_progress
        self.history: list[LoadProgress] = []
        self.outcome: LoadOutcome | None = None
        self.log: list[str] = []
        self._rest = b""

    def feed(self, output: bytes) -> None:
        """Takes the next piece of output.  Raises Internal if a telemetry line is not what it should be."""
        *lines, self._rest = (self._rest + output).split(b"\n")
        for line in lines:
            self._line(line.decode(errors="replace").rstrip("\r"))

    def close(self) -> None:
        """Takes what is left when the output has ended without a newline."""
        if self._rest:
            self.feed(b"\n")

    def _line(self, line: str) -> None:
        if not line.startswith('{"telemetry":'):
            self.log.append(line)
            return
        try:
            record: Json = json.loads(line)
            kind = record.pop("telemetry")
            if kind == "progress":
                progress = PROGRESS.validate_python(record)
                self.history.append(progress)
                self.on_progress(progress)
            else:
                self.outcome = OUTCOME.validate_python(record)
        except (ValueError, ValidationError) as error:
            raise Internal(f"load generator: its telemetry cannot be read: {error}") from error
