"""A VLAN attachment with BGP: what is advertised is reached, and an attachment that is dead has no routes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from testbed.paths import EXAMPLES
from tests.e2e.capture import arriving, node_path
from tests.e2e.program import Program
from tests.e2e.rest import Rest, client_of
from tests.e2e.small import program
from tests.needs import host
from tests.waiting import PATIENCE, QUIET, TRY, eventually

VM, HOST = "10.128.0.2", "192.168.10.10"
ATTACHMENT = "compute/v1/projects/example/regions/us-central1/interconnectAttachments/attachment"
"""Seconds: more than a hold time."""


def example(bed: Program, *, advertised: bool = True, enabled: bool = True) -> dict[str, Any]:
    """The example under another name; the connector's range is advertised or not, the attachment is enabled or not."""
    made: dict[str, Any] = yaml.safe_load((EXAMPLES / "interconnect.yaml").read_text())
    made["name"] = bed.name
    made["run"]["services"][0]["buildConfig"]["sourceLocation"] = str(EXAMPLES / "relay")
    if not advertised:
        made["compute"]["routers"][0]["bgp"] = {"asn": 64512}
    made["compute"]["interconnectAttachments"][0]["adminEnabled"] = enabled
    # A part of the network's own subnet, too: neither the network nor the attachment's node believes that.
    made["onPrem"]["sites"][0]["bgp"]["advertisedRanges"] = ["192.168.10.0/24", "10.128.0.0/24"]
    return made


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rest]:
    with program(tmp_path_factory.mktemp("vlan"), "vlan") as bed:
        yield Rest.up(bed, example(bed, advertised=False))


@pytest.fixture
def joined(api: Rest) -> Program:
    return api.bed


def state(api: Rest) -> tuple[str, str]:
    found = api.call("GET", ATTACHMENT)
    return found["state"], found["operationalStatus"]


def reached(bed: Program) -> None:
    eventually(lambda: client_of(bed, "vm", f"http://{HOST}/") == VM, "the VM's way to the host")


@pytest.mark.behaviour("4.12.1", "4.12.3", "4.11.1")
def test_both_sides_reach_each_other(api: Rest, joined: Program) -> None:
    reached(joined)
    assert state(api) == ("ACTIVE", "OS_ACTIVE")
    assert client_of(joined, "office-host", f"http://{VM}/", within=PATIENCE) == HOST


@pytest.mark.behaviour("4.12.1")
def test_the_link_is_tagged_or_it_is_said_that_it_is_not(joined: Program) -> None:
    tagged = host()["vlan"].present
    for node in ("attachment", "office-router"):
        link = joined.execute(node, "ip", "-details", "link", "show", "dev", "vlan").stdout
        assert ("802.1Q id 100" in link) is tagged
    notes = joined.json("status")["notes"]
    assert [note for note in notes if "untagged" in note] == ([] if tagged else notes)
    assert bool(notes) is not tagged


@pytest.mark.behaviour("4.7.4")
def test_the_attachment_has_its_mtu(joined: Program) -> None:
    reached(joined)
    ping = ["ping", "-c1", f"-W{PATIENCE:g}", "-M", "do", HOST, "-s"]
    assert joined.execute("vm", *ping, str(1440 - 28)).returncode == 0
    refused = joined.execute("vm", *ping, str(1441 - 28), check=False)
    said = (refused.stdout + refused.stderr).replace(" ", "")
    assert "mtu=1440" in said  # by the attachment's node, or by a kernel that knows it already


def answered(bed: Program, *, within: float = TRY) -> Any:
    done = bed.run("invoke", "relay", f"/http?url=http://{HOST}/&timeout={within}", check=False)
    return done.returncode == 0 and json.loads(done.stdout)["body"]["client"]


@pytest.mark.behaviour("4.11.2", "4.12.1")
def test_a_service_is_answered_only_if_its_connector_s_range_is_advertised(joined: Program) -> None:
    reached(joined)
    with arriving(node_path(joined, "office-host")) as so_far:
        assert not answered(joined, within=QUIET)
        assert {p.source for p in so_far() if p.source.startswith("10.8.0.")}  # the request arrives
    joined.up(example(joined))
    client = eventually(lambda: answered(joined), "an answer for the connector")
    assert client.startswith("10.8.0.")


def routes(bed: Program) -> str:
    return bed.execute("attachment", "ip", "route").stdout


@pytest.mark.behaviour("4.12.2")
def test_an_attachment_that_is_not_enabled_has_no_routes(api: Rest, joined: Program) -> None:
    joined.up(example(joined))
    reached(joined)
    assert "192.168.10.0/24" in routes(joined)
    joined.up(example(joined, enabled=False))
    eventually(lambda: "192.168.10.0/24" not in routes(joined), "the end of its routes")
    assert client_of(joined, "vm", f"http://{HOST}/", within=QUIET) is None
    assert state(api) == ("ACTIVE", "OS_UNPROVISIONED")
    joined.up(example(joined))
    reached(joined)


@pytest.mark.behaviour("4.12.1", "4.3.8")
def test_an_attachment_whose_peer_is_silent_loses_its_routes(joined: Program) -> None:
    joined.up(example(joined))
    reached(joined)
    joined.execute("office-router", "sv", "down", "bird")
    eventually(lambda: "192.168.10.0/24" not in routes(joined), "the end of its routes")
    joined.execute("office-router", "sv", "up", "bird")
    reached(joined)
