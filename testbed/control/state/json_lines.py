"""A log of JSON values in a file, one a line, that does not grow without end: the file before the last is given up."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO

from testbed.json_object import Json

_POLL = 0.1


class JsonLines:
    """The file, and the older one.  One process writes; others may read."""

    def __init__(self, path: Path, older: Path) -> None:
        self._path, self._older = path, older
        self._lock = threading.Lock()

    def append(self, values: Iterable[Json], largest: int) -> None:
        """Add values; when there are more than `largest` bytes, a new file is begun."""
        lines = "".join(json.dumps(value, separators=(",", ":")) + "\n" for value in values)
        with self._lock:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            with os.fdopen(descriptor, "ab") as file:
                file.write(lines.encode())
                full = file.tell() > largest
            if full:
                self._path.replace(self._older)

    def read(self) -> Iterator[Json]:
        """All values, the oldest first."""
        for file in self._opened():
            with file:
                yield from _values(file)

    def follow(self, stopped: Callable[[], bool] = lambda: False) -> Iterator[Json]:
        """All values, and those that are added, until told to stop or the folder is gone."""
        with ExitStack() as stack:
            opened = [stack.enter_context(one) for one in self._opened()]
            for one in opened[:-1]:
                yield from _values(one)
            file: IO[bytes] | None = opened[-1] if opened else None
            while not stopped() and self._path.parent.exists():
                if file is None:
                    with suppress(FileNotFoundError):
                        file = stack.enter_context(self._path.open("rb"))
                if file is not None:
                    whole = not self._is(file)  # looked at first: nothing is added to it any more then
                    yield from _values(file)
                    if whole:
                        file.close()
                        file = None
                        continue
                time.sleep(_POLL)

    def _opened(self) -> list[IO[bytes]]:
        """Both files as they were at one moment, the older first."""
        found: list[IO[bytes]] = []
        for path in (self._path, self._older):  # in this order one that is replaced meanwhile is found twice, not never
            with suppress(FileNotFoundError):
                found.insert(0, path.open("rb"))
        if len(found) > 1 and os.path.sameopenfile(found[0].fileno(), found[1].fileno()):
            found.pop().close()
        return found

    def _is(self, file: IO[bytes]) -> bool:
        """Whether this is the file that is written now."""
        try:
            return os.path.samestat(os.fstat(file.fileno()), self._path.stat())
        except FileNotFoundError:
            return False


def _values(file: IO[bytes]) -> Iterator[Json]:
    """The values from here to the end.  What a crash has left of one is passed over; half a line may get its rest."""
    while line := file.readline():
        if not line.endswith(b"\n"):
            file.seek(-len(line), os.SEEK_CUR)
            return
        with suppress(ValueError):
            yield json.loads(line)
