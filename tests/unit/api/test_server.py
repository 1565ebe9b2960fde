"""The server's wait for its beginning and its end."""

from __future__ import annotations

import asyncio

import pytest

from testbed.api.server import _either
from testbed.errors import Unavailable
from tests.waiting import PATIENCE


async def _ends(error: Exception | None = None) -> None:
    if error is not None:
        raise error


async def _for_ever() -> None:
    await asyncio.Event().wait()


async def _waited(*, ready: bool, failure: Exception | None = None) -> None:
    event = asyncio.Event()
    if ready:
        event.set()
    task = asyncio.create_task(_for_ever() if ready else _ends(failure))
    try:
        await asyncio.wait_for(_either(event, task), PATIENCE)
    finally:
        task.cancel()


def test_it_waits_for_the_event() -> None:
    asyncio.run(_waited(ready=True))


@pytest.mark.parametrize("failure", [None, OSError("no socket")])
def test_a_server_that_ends_by_itself_is_an_error(failure: Exception | None) -> None:
    with pytest.raises(Unavailable if failure is None else OSError):
        asyncio.run(_waited(ready=False, failure=failure))
