"""Who waits for which operation: told when it is over, and forgotten when they do not wait any more."""

from __future__ import annotations

import threading
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from functools import partial


class Waiting:
    """Those who wait, by operation; for any thread, and never for long."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._futures: dict[str, set[Future[None]]] = {}

    def __len__(self) -> int:
        with self._lock:
            return sum(map(len, self._futures.values()))

    def add(self, operation: str) -> Future[None]:
        """A future that `tell` finishes; who does not wait any more cancels it."""
        future: Future[None] = Future()
        with self._lock:
            self._futures.setdefault(operation, set()).add(future)
        future.add_done_callback(partial(self._forget, operation))
        return future

    def tell(self, operation: str) -> None:
        """The operation is over."""
        with self._lock:
            futures = list(self._futures.get(operation, ()))
        for future in futures:
            with suppress(InvalidStateError):  # it was cancelled just now
                future.set_result(None)

    def _forget(self, operation: str, future: Future[None]) -> None:
        with self._lock:
            self._futures[operation].discard(future)
            if not self._futures[operation]:
                del self._futures[operation]
