"""HA VPN with BGP: routes are learned, a tunnel that dies is left, what is not advertised gets no answers."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.capture import arriving, node_path
from tests.e2e.hybrid import HOST, hybrid
from tests.e2e.program import Program
from tests.e2e.small import file, program
from tests.waiting import PATIENCE, QUIET, TRY, eventually

VM = "10.128.0.2"
"""Seconds: two thirds of a hold time, and so more than a dead peer is noticed in."""


@pytest.fixture(scope="module")
def joined(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    with program(tmp_path_factory.mktemp("ha"), "ha") as bed:
        bed.run("up", file(bed, hybrid(bed.name, meds=(50, 100), service=True)))
        yield bed


def client(bed: Program, node: str, address: str) -> str | None:
    """The address that a web server saw, None if it did not answer."""
    done = bed.execute(node, "curl", "-s", "-m", str(TRY), f"http://{address}/", check=False)
    return str(json.loads(done.stdout)["client"]) if done.returncode == 0 else None


@pytest.mark.behaviour("4.3.1", "4.10.1", "4.11.1")
def test_both_sides_reach_each_other_by_what_bgp_has_brought(joined: Program) -> None:
    assert eventually(lambda: client(joined, "vm", HOST), "an answer by the VPN") == VM
    assert eventually(lambda: client(joined, "office-host", VM), "an answer by the VPN") == HOST


@pytest.mark.behaviour("4.10.6", "4.10.7")
def test_a_packet_that_is_too_large_and_must_not_be_split_is_answered_with_the_mtu(joined: Program) -> None:
    eventually(lambda: client(joined, "vm", HOST), "an answer by the VPN")
    ping = ["ping", "-c1", f"-W{PATIENCE:g}", "-M", "do", HOST, "-s"]
    assert joined.execute("vm", *ping, str(1400 - 28), check=False).returncode == 0
    refused = joined.execute("vm", *ping, str(1401 - 28), check=False)
    assert refused.returncode == 1
    assert "mtu = 1400" in refused.stdout
    split = joined.execute("vm", "ping", "-c1", f"-W{PATIENCE:g}", "-M", "dont", "-s", "1432", HOST, check=False)
    assert split.returncode == 0


def carried(bed: Program, tunnel: str) -> bool:
    """Whether a request from the site comes in by a tunnel, whose device is there while its daemon runs."""
    try:
        with arriving(node_path(bed, tunnel), "ipsec0") as so_far:
            return client(bed, "office-host", VM) == HOST and HOST in {packet.source for packet in so_far()}
    except OSError as error:
        if error.errno != errno.ENODEV:
            raise
        return False


@pytest.mark.behaviour("4.10.1")
def test_a_tunnel_that_dies_is_left_and_taken_again(joined: Program) -> None:
    eventually(lambda: carried(joined, "tunnel-0"), "traffic by the better tunnel")
    joined.execute("tunnel-0", "sv", "down", "charon")
    assert eventually(lambda: client(joined, "vm", HOST), "an answer by the VPN") == VM
    eventually(lambda: carried(joined, "tunnel-1"), "traffic by the other tunnel")
    joined.execute("tunnel-0", "sv", "up", "charon")
    eventually(lambda: carried(joined, "tunnel-0"), "traffic by the better tunnel")


def answered(bed: Program, *, within: float = TRY) -> Any:
    done = bed.run("invoke", "relay", f"/http?url=http://{HOST}/&timeout={within}", check=False)
    return done.returncode == 0 and json.loads(done.stdout)


@pytest.mark.behaviour("4.11.2", "4.11.4")
def test_on_premises_has_no_answer_for_a_connector_whose_range_is_not_advertised(joined: Program) -> None:
    eventually(lambda: client(joined, "vm", HOST), "an answer by the VPN")
    with arriving(node_path(joined, "office-host")) as so_far:
        assert not answered(joined, within=QUIET)
        assert {p.source for p in so_far() if p.source.startswith("10.8.0.")}  # the request arrives
    topology = hybrid(joined.name, meds=(50, 100), service=True)
    topology["compute"]["routers"][0]["bgp"] |= {
        "advertiseMode": "CUSTOM",
        "advertisedGroups": ["ALL_SUBNETS"],
        "advertisedIpRanges": [{"range": "10.8.0.0/28", "description": "the connector"}],
    }
    joined.run("up", file(joined, topology))
    answer = eventually(lambda: answered(joined), "an answer for the connector")
    assert answer["body"]["client"].startswith("10.8.0.")
