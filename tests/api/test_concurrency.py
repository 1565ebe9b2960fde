"""Hundreds of calls at once: each is answered, and what was said to be done is done."""

from __future__ import annotations

import asyncio
import json
import random
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.api.harness import Api
from tests.sample import SEED, size
from tests.waiting import PATIENCE

GLOBAL = "compute/v1/projects/demo/global"
FIREWALLS = f"{GLOBAL}/firewalls"
CALLS = size(300, 1000)


def _network(name: str) -> dict[str, Any]:
    return {"name": name, "autoCreateSubnetworks": False}


def _firewall(name: str, priority: int = 1000) -> dict[str, Any]:
    return {
        "name": name,
        "network": "global/networks/vpc",
        "priority": priority,
        "allowed": [{"IPProtocol": "tcp"}],
    }


def _calls() -> Iterator[tuple[str, str, dict[str, Any] | None]]:
    """Pairs of inserts of one name, deletions, updates of one rule, peerings of one network, and readers."""
    for index in range(CALLS // 5):
        name = f"rule-{index // 2}"
        yield "POST", FIREWALLS, _firewall(name)
        yield "PATCH", f"{FIREWALLS}/shared", {"priority": index}
        yield (
            "POST",
            f"{GLOBAL}/networks/vpc/addPeering",
            {
                "networkPeering": {
                    "name": f"p-{index}",
                    "network": f"global/networks/peer-{index}",
                    "exchangeSubnetRoutes": True,
                },
            },
        )
        yield "DELETE", f"{FIREWALLS}/old-{index // 4}", None
        yield "GET", FIREWALLS, None


@pytest.mark.sampled
def test_many_mixed_calls(api: Api) -> None:
    api.post(f"{GLOBAL}/networks", _network("vpc"))
    api.post(FIREWALLS, _firewall("shared"))
    for index in range(CALLS // 20):
        api.post(FIREWALLS, _firewall(f"old-{index}"))
    calls = list(_calls())
    random.Random(SEED).shuffle(calls)  # noqa: S311
    seen = asyncio.run(asyncio.wait_for(_all(api, calls), PATIENCE))

    assert {status for status, _ in seen} <= {200, 400, 404, 409}
    done = Counter(
        (verb, path.rpartition("/")[2] if verb != "POST" or body is None else _subject(body))
        for (verb, path, body), (status, _) in zip(calls, seen, strict=True)
        if status == 200
    )
    rules = {item["name"]: item for item in api.get(FIREWALLS, maxResults=500)["items"] if "shared" not in item["name"]}
    for index in range(CALLS // 10):
        assert done["POST", f"rule-{index}"] == 1  # of two that ask for one name, one gets it
        assert f"rule-{index}" in rules
    for index in range(CALLS // 20):
        assert done["DELETE", f"old-{index}"] == 1
        assert f"old-{index}" not in rules
    accepted = {key[1] for key in done if key[0] == "POST" and key[1].startswith("p-")}
    there = {peering["name"] for peering in api.get(f"{GLOBAL}/networks/vpc")["peerings"]}
    assert there == accepted  # no update is lost, and none that was refused is there
    assert accepted


def _subject(body: dict[str, Any]) -> str:
    return str(body.get("networkPeering", body)["name"])


async def _all(api: Api, calls: list[tuple[str, str, dict[str, Any] | None]]) -> list[tuple[int, bytes]]:
    return await asyncio.gather(
        *(api.answer(verb, path, b"" if body is None else json.dumps(body).encode()) for verb, path, body in calls)
    )


@pytest.mark.parametrize("request_id", ["00000000-0000-4000-8000-000000000001"])
def test_the_same_request_again_is_the_same_operation(api: Api, request_id: str) -> None:
    first = api.post(f"{GLOBAL}/networks", _network("vpc"), requestId=request_id)
    again = api.post(f"{GLOBAL}/networks", _network("vpc"), requestId=request_id)
    assert again["id"] == first["id"]
    assert again["clientOperationId"] == request_id


def test_reads_wait_for_no_change(api: Api) -> None:
    """Somebody holds the state's write lock, and more changes wait for it than there are threads."""
    api.post(f"{GLOBAL}/networks", _network("vpc"))
    held, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        with api.plane.transaction():
            held.set()
            go_on.wait(PATIENCE)

    async def scenario() -> None:
        bodies = (json.dumps(_firewall(f"rule-{index}")).encode() for index in range(50))
        changes = [asyncio.create_task(api.answer("POST", FIREWALLS, body)) for body in bodies]
        for path in (f"{GLOBAL}/networks/vpc", FIREWALLS, "v1/projects/demo/locations/us-central1/connectors"):
            status, _ = await api.answer("GET", path)
            assert status == 200
        assert not any(change.done() for change in changes)
        go_on.set()
        assert {status for status, _ in await asyncio.gather(*changes)} == {200}

    holder = threading.Thread(target=hold)
    holder.start()
    try:
        assert held.wait(PATIENCE)
        asyncio.run(asyncio.wait_for(scenario(), PATIENCE))
    finally:
        go_on.set()
        holder.join()
