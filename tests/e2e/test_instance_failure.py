"""A connector instance fails in the middle of a load: the other one carries on, and a new one takes its place."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.e2e.flows import held, stream
from tests.e2e.inside import network_of
from tests.e2e.program import Program
from tests.e2e.small import file, program, small, start
from tests.waiting import PATIENCE, eventually

USERS = 20
FLOWS = 24


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    with program(tmp_path_factory.mktemp("failure"), "failure") as made:
        made.run("up", file(made, small(made.name)))
        yield made


def instances(bed: Program) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in bed.json("status")["instances"]}


def docker(command: str, bed: Program, instance: str) -> None:
    subprocess.run(["docker", command, f"tb-{bed.name}-{instance}"], capture_output=True, check=True)


def replaced(bed: Program, before: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The instances, once as many as before are healthy and one of them is new."""

    def look() -> dict[str, dict[str, Any]] | None:
        now = instances(bed)
        healthy = len(now) == len(before) and {row["health"] for row in now.values()} == {"healthy"}
        return now if healthy and now.keys() != before.keys() else None

    return eventually(look, "the replacement")


@pytest.mark.behaviour("2.1.2")
def test_packets_that_are_lost_for_longer_than_a_time_out_break_nothing(bed: Program) -> None:
    rule = ["INPUT", "-p", "tcp", "--dport", "7", "-j", "DROP"]

    def lost(network: list[str]) -> int:
        listed = subprocess.run([*network, "iptables", "-w", "-nvxL", "INPUT"], capture_output=True, check=True)
        return int(listed.stdout.decode().splitlines()[2].split()[0])

    with held(bed, FLOWS) as flows, network_of(bed, "vm") as network, ThreadPoolExecutor(1) as pool:
        sources = flows.ask()
        assert len({*sources}) == 2
        subprocess.run([*network, "iptables", "-w", "-I", *rule], check=True)
        answers = pool.submit(flows.ask)
        eventually(lambda: lost(network) >= 4 * FLOWS, "retransmissions of all flows")
        subprocess.run([*network, "iptables", "-w", "-D", *rule], check=True)
        assert answers.result() == sources


@pytest.mark.behaviour("2.6.3")
def test_an_instance_is_killed_in_the_middle_of_a_load(bed: Program) -> None:
    before = instances(bed)
    dead, alive = (before[name]["address"] for name in ("c1-0001", "c1-0002"))
    arguments = ["new_flows", "--users", str(USERS), "--duration", "20s", "--json"]

    with held(bed, FLOWS) as flows:
        sources = flows.ask()
        assert set(sources) == {dead, alive}
        with start(bed, "load", *arguments) as load:
            already = before["c1-0001"]["flows"] + FLOWS
            eventually(lambda: instances(bed)["c1-0001"]["flows"] > already + 100, "the load")
            with stream(bed) as tries:
                docker("kill", bed, "c1-0001")
                now = replaced(bed, before)
                healed = time.time()
                eventually(lambda: instances(bed)["c1-0003"]["flows"], "flows by the new instance")
            said, _ = load.communicate(timeout=PATIENCE)

        # Long-lived flows: those of the dead instance break, and no others; none moves unnoticed to another address.
        assert flows.ask() == [None if source == dead else source for source in sources]

    assert now.keys() == {"c1-0002", "c1-0003"}
    assert now["c1-0003"]["address"] not in (dead, alive)  # behaviour 1.9: the old address may still be in use

    # New flows: lost until the dead instance is known to be dead, and no longer.
    lost = [one for one in tries if one.source is None]
    assert len(tries) > 20
    assert all(one.time < healed for one in lost), lost
    assert {one.source for one in tries if one.time > healed} <= {alive, now["c1-0003"]["address"]}

    # The load reports its errors: at most the request of each user that was under way, or began just then.
    result = json.loads(said)
    total = result["outcome"]["total"]
    assert total["failures"] == sum(row["count"] for row in result["outcome"]["failures"])
    assert load.returncode == (1 if total["failures"] else 0)
    assert result["failed"] == bool(total["failures"])
    carried = {row["address"]: row["flows"] for row in result["instances"]}
    assert total["failures"] <= min(carried[dead], USERS)
    assert total["requests"] > 10 * USERS
    assert carried[alive] > carried[dead] > 0
    assert carried[now["c1-0003"]["address"]] > 0


def test_an_instance_that_hangs_is_replaced(bed: Program) -> None:
    before = instances(bed)
    (hanging, row), (_, other) = sorted(before.items())
    with held(bed, FLOWS) as flows:
        sources = flows.ask()
        docker("pause", bed, hanging)  # it lives, and does not answer
        now = replaced(bed, before)
        assert hanging not in now
        assert flows.ask() == [None if source == row["address"] else source for source in sources]
    assert other["address"] in {row["address"] for row in now.values()}
    assert bed.invoke("relay", "/vm?fresh=1")["status"] == 200
