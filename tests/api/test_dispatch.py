"""How calls are carried out: nobody is held up by somebody else's, and nothing is left of those who went away."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from testbed.control.state.faults import fault
from testbed.model.core.projects import project_number
from tests.api.harness import Api
from tests.waiting import PATIENCE, eventually

NETWORKS = "compute/v1/projects/demo/global/networks"
VPC = b'{"name": "vpc", "autoCreateSubnetworks": false}'


@contextmanager
def locked(api: Api, until: threading.Event) -> Iterator[None]:
    """Somebody else's transaction, which lasts until an event (or too long)."""
    begun = threading.Event()

    def occupy() -> None:
        with api.plane.transaction():
            begun.set()
            until.wait(PATIENCE)

    thread = threading.Thread(target=occupy)
    thread.start()
    begun.wait()
    try:
        yield
    finally:
        thread.join()


def test_a_long_transaction_does_not_hold_up_the_loop(api: Api) -> None:
    number = f"compute/v1/projects/{project_number('demo')}/global/networks"
    free = threading.Event()

    async def calls() -> list[int]:
        asked = [asyncio.create_task(one) for one in (api.answer("GET", number), api.answer("POST", NETWORKS, VPC))]
        waiting = asyncio.create_task(api.dispatcher.wait("none", 5))
        await asyncio.sleep(0)  # all three have begun
        free.set()
        await waiting
        return [status for status, _ in await asyncio.gather(*asked)]

    async def timely() -> list[int]:
        async with asyncio.timeout(PATIENCE / 2):
            return await calls()

    with locked(api, free):
        assert asyncio.run(timely()) == [200, 200]


def test_nobody_is_kept_who_waits_no_more(api: Api) -> None:
    api.dispatcher.window = api.dispatcher.patience = 0.0
    api.store.faults.add(fault("stuck", method="compute.networks.insert"))
    name = api.post(NETWORKS, {"name": "vpc", "autoCreateSubnetworks": False})["name"]
    for _ in range(3):
        api.post(f"compute/v1/projects/demo/global/operations/{name}/wait")
    waiting = api.plane.when_done(name)
    assert len(api.plane._waiting) == 1
    api.plane.release()
    waiting.result(PATIENCE)
    assert len(api.plane._waiting) == 0


def test_a_wait_ends_with_the_operation(api: Api) -> None:
    """It waits up to two minutes, and not only as long as any call does; Cloud Run's callers may say how long."""
    api.dispatcher.window = 0.0
    api.store.faults.add(fault("stuck", method="compute.networks.insert"))
    name = api.post(NETWORKS, {"name": "vpc", "autoCreateSubnetworks": False})["name"]
    path = f"compute/v1/projects/demo/global/operations/{name}/wait"

    asked = f"v2/projects/demo/locations/us-central1/operations/{name}:wait"

    async def calls() -> list[tuple[int, bytes]]:
        early = await api.answer("POST", asked, b'{"timeout": "0s"}')
        waiting = asyncio.create_task(api.answer("POST", path))
        await asyncio.to_thread(eventually, lambda: len(api.plane._waiting), "somebody who waits")
        await asyncio.to_thread(api.plane.release)
        return [early, await waiting]

    (_, early), (_, late) = asyncio.run(calls())
    assert "done" not in json.loads(early)
    assert json.loads(late)["status"] == "DONE"


def test_a_state_that_somebody_else_writes_is_no_defect(api: Api) -> None:
    api.plane.store._db.execute("PRAGMA busy_timeout = 20")
    with api.store.transaction():
        status, answer = api.send("POST", NETWORKS, VPC)
    assert status == 503
    assert json.loads(answer)["error"]["status"] == "UNAVAILABLE"
