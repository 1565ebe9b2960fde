"""VLAN attachments: what is refused, and what the two ends are made of (behaviour 4.12)."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from testbed.fabric.plan import Interface, Node, Plan, Veth, Vlan
from testbed.model.core.problem import Inconsistent
from testbed.model.core.resource import Defaults
from testbed.model.rules import consistency
from testbed.model.topology import Topology
from testbed.paths import EXAMPLES
from tests.unit.topologies import plan, space, table_rules

KNOWN = Defaults("example", "us-central1", "us-central1-a")
Data = dict[str, Any]


def example() -> Data:
    made: Data = yaml.safe_load((EXAMPLES / "interconnect.yaml").read_text())
    return made


def read(data: Data) -> Topology:
    made = Topology.model_validate(data, context=KNOWN)
    consistency.check(made)
    return made


def nodes(of: Plan) -> dict[str, Node]:
    return {node.name: node for node in of.nodes}


def link(of: Plan) -> Veth | None:
    return next((v for v in of.veths if {v.a.namespace, v.b.namespace} == {"attachment", "office-router"}), None)


@pytest.mark.behaviour("4.12.3", "4.7.4")
@pytest.mark.parametrize("mtu", [1440, 1460, 1500, 8896])
def test_both_ends_are_nodes_with_a_link_of_the_attachment_s_mtu(mtu: int) -> None:
    data = example()
    data["compute"]["interconnectAttachments"][0]["mtu"] = mtu
    made = plan(read(data))
    found = link(made)
    assert found is not None
    assert {(e.interface.name, e.interface.mtu, *e.interface.addresses) for e in (found.a, found.b)} == {
        ("vlan", mtu, "169.254.10.1/29"),
        ("vlan", mtu, "169.254.10.2/29"),
    }
    assert {name: nodes(made)[name].kind for name in ("attachment", "office-router")} == {
        "attachment": "vlan-attachment",
        "office-router": "on-prem-router",
    }
    assert not nodes(made)["attachment"].devices  # there is no IPsec, and so no TUN device


@pytest.mark.behaviour("4.12.1", "4.12.3")
@pytest.mark.parametrize(("given", "tag"), [(100, 100), (4093, 4093), (None, 2)])
def test_where_the_kernel_has_vlans_both_ends_tag(given: int | None, tag: int) -> None:
    data = example()
    data["compute"]["interconnectAttachments"][0]["vlanTag8021q"] = given
    made = plan(read(data), vlans=True)
    found = link(made)
    assert found is not None
    for end, address, mac in (
        (found.a, "169.254.10.1/29", "42:01:a9:fe:0a:01"),
        (found.b, "169.254.10.2/29", "42:01:a9:fe:0a:02"),
    ):
        assert end.interface == Interface("interconnect", frozenset(), mac, 1440)
        of = space(made, end.namespace)
        assert of.vlans == {Vlan(Interface("vlan", frozenset({address}), mac, 1440), "interconnect", tag)}
        assert {each.device for each in of.neighbours if each.address.startswith("169.254.10.")} == {"vlan"}
        assert table_rules(of, "raw", "PREROUTING") == ("-i interconnect -m comment --comment untagged -j DROP",)


def test_whether_there_are_tags_changes_nothing_of_the_nodes() -> None:
    topology = read(example())
    tagged, untagged = plan(topology, vlans=True), plan(topology)
    assert tagged.nodes == untagged.nodes  # BIRD speaks through a device of the same name
    assert not any(of.vlans for of in untagged.namespaces)


def test_a_vlan_goes_with_the_node_at_the_other_end() -> None:
    made = plan(read(example()), vlans=True)
    part = made.with_nodes(nodes(made).keys() - {"office-router"})
    assert link(part) is None
    left = space(part, "attachment")
    assert not left.vlans
    assert not any(neighbour.device == "vlan" for neighbour in left.neighbours)


def test_an_attachment_that_is_not_enabled_or_has_no_session_carries_nothing() -> None:
    data = example()
    data["compute"]["interconnectAttachments"][0]["adminEnabled"] = False
    assert link(plan(read(data))) is None
    data = example()
    del data["compute"]["routers"][0]["bgpPeers"]
    made = plan(read(data))
    assert link(made) is None
    assert nodes(made)["attachment"].role is None


def test_an_on_prem_end_may_be_there_before_its_attachment() -> None:
    data = example()
    del data["compute"]["interconnectAttachments"]
    data["compute"]["routers"] = []
    made = plan(read(data))
    assert link(made) is None
    assert "office-router" in nodes(made)


@pytest.mark.behaviour("4.12.1", "4.7.4")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mtu": 1300}, "1440"),
        ({"vlanTag8021q": 1}, "greater than or equal to 2"),
        ({"vlanTag8021q": 4094}, "less than or equal to 4093"),
        ({"router": "other"}, "routers/other' was not found"),
        ({"region": "europe-west1", "router": "regions/us-central1/routers/router"}, "is in europe-west1"),
    ],
)
def test_what_an_attachment_may_not_be(change: Data, message: str) -> None:
    data = example()
    data["compute"]["interconnectAttachments"][0] |= change
    if "region" in change:
        data["compute"]["routers"][0]["interfaces"] = []
        data["compute"]["routers"][0]["bgpPeers"] = []
    with pytest.raises((ValidationError, Inconsistent), match=message):
        read(data)


def test_an_interface_is_linked_to_an_attachment_of_its_own_router() -> None:
    data = example()
    data["compute"]["routers"].append({"name": "other", "network": "vpc", "bgp": {"asn": 64513}})
    data["compute"]["interconnectAttachments"][0]["router"] = "other"
    with pytest.raises(Inconsistent, match="an attachment of another router"):
        read(data)


def test_an_attachment_has_one_on_prem_end_and_a_site_one_way_out() -> None:
    data = example()
    other = {**data["onPrem"]["sites"][0], "name": "other", "range": "192.168.11.0/24", "hosts": []}
    other["router"] = {**other["router"], "name": "other-router", "internalAddress": "192.168.11.1"}
    data["onPrem"]["sites"].append(other)
    with pytest.raises(Inconsistent, match="already has another on-prem end"):
        read(data)
    data = example()
    del data["onPrem"]["sites"][0]["router"]
    with pytest.raises(ValidationError, match="a gateway or a router"):
        read(data)
