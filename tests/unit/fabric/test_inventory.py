"""Who is in a network: one list, from which everybody takes his own."""

from __future__ import annotations

from typing import Any

import pytest

from testbed.fabric.allocation.cloud_nat import gateways
from testbed.fabric.allocation.running import Running
from testbed.fabric.compiler import compile_topology
from testbed.fabric.firewall.log_records import LoggedConnection, Records
from testbed.fabric.inventory import Participant, of_network, participants
from testbed.model.topology import Topology
from tests.unit.topologies import Data, compute, connector, network, running, small, subnet, vm

VPC = "projects/p/global/networks/vpc"
ACCOUNT = "r@p.iam.gserviceaccount.com"
WIDE = "projects/p/regions/us-central1/subnetworks/wide"
LOGGED = {"name": "r", "network": "vpc", "direction": "EGRESS", "allowed": "all", "logConfig": {"enable": True}}


def with_access(name: str, **more: Any) -> Data:
    made = vm(name, **more)
    made["networkInterfaces"][0]["accessConfigs"] = [{}]
    return made


def world() -> Topology:
    """A network with everything that can be in one, and another."""
    direct = {"networkInterfaces": [{"subnetwork": "wide", "tags": ["d"]}]}
    template = {"containers": [{}], "vpcAccess": direct, "scaling": {"minInstanceCount": 2}}
    version = {
        "name": "apps/p/services/flex/versions/v",
        "env": "flexible",
        "entrypoint": {"shell": "x"},
        "deployment": {"zip": {"sourceUrl": "/s"}},
        "network": {"name": "vpc", "subnetworkName": "us", "instanceTag": "f"},
    }
    nets = compute(
        networks=[network(), network("other")],
        subnetworks=[subnet(), subnet("wide", "10.20.0.0/26"), subnet("far", "10.30.0.0/24", network="other")],
        instances=[
            vm(
                "a",
                tags={"items": ["t"]},
                canIpForward=True,
                serviceAccounts=[{"email": ACCOUNT}],
            ),
            vm("off", status="TERMINATED"),
            with_access("out"),
            vm("z", "far"),
        ],
        firewalls=[LOGGED],
        routers=[
            {
                "name": "router",
                "network": "vpc",
                "nats": [{"name": "nat", "sourceSubnetworkIpRangesToNat": "ALL_SUBNETWORKS_ALL_IP_RANGES"}],
            }
        ],
        vpnGateways=[{"name": "gw", "network": "vpc"}],
        externalVpnGateways=[
            {
                "name": "peer",
                "redundancyType": "SINGLE_IP_INTERNALLY_REDUNDANT",
                "interfaces": [{"id": 0, "ipAddress": "203.0.113.9"}],
            }
        ],
        vpnTunnels=[
            {
                "name": "tunnel",
                "vpnGateway": "gw",
                "vpnGatewayInterface": 0,
                "peerExternalGateway": "peer",
                "peerExternalGatewayInterface": 0,
                "router": "router",
                "sharedSecret": "long enough",
            }
        ],
    )
    return small(
        compute=nets,
        vpcaccess={"connectors": [connector()]},
        run={"services": [{"name": "web", "template": template}]},
        appengine={"application": {"id": "p", "locationId": "us-central"}, "versions": [version]},
        redis={"instances": [{"name": "r", "authorizedNetwork": "vpc"}]},
    )


def known() -> dict[str, Participant]:
    of = world()
    return {one.node: one for one in participants(of, running(of))}


def test_everything_with_a_nic_is_there_once() -> None:
    kinds = {node: one.kind for node, one in known().items()}
    assert kinds == {
        **dict.fromkeys(("a", "off", "out", "z"), "vm"),
        **dict.fromkeys(("c1-0001", "c1-0002"), "connector"),
        "flex": "flexible",
        **dict.fromkeys(("web", "web-2"), "direct"),
        "r": "redis",
        "tunnel": "gateway",
    }
    of = world()
    assert len(participants(of, running(of))) == len(kinds)


def test_each_is_in_its_network_with_its_address() -> None:
    found = known()
    of = world()
    given = running(of)
    assert {one.node for one in of_network(of, given, VPC)} == found.keys() - {"z", "r"}
    assert (found["z"].network, found["z"].address) == ("projects/p/global/networks/other", "10.30.0.2")
    assert (found["r"].network, found["r"].range, found["r"].address) == (
        "projects/p/locations/us-central1/instances/r",
        "10.255.0.0/29",
        "10.255.0.3",
    )
    assert [found[name].address for name in ("web", "web-2")] == ["10.20.0.2", "10.20.0.3"]
    assert found["web"].subnetwork == found["web-2"].subnetwork == WIDE
    assert found["c1-0001"].subnetwork is None  # it is hidden
    assert found["tunnel"].address.startswith("169.254.")


def test_what_rules_and_routes_ask_of_them() -> None:
    found = known()
    assert (found["a"].tags, found["a"].service_accounts) == (
        frozenset("t"),
        frozenset({ACCOUNT}),
    )
    assert {node for node, one in found.items() if one.forwards} == {"a", "tunnel"}
    assert {node for node, one in found.items() if not one.runs} == {"off"}
    assert {node for node, one in found.items() if one.external} == {"out"}
    assert found["c1-0001"].tags == {"vpc-connector", "vpc-connector-us-central1-c1"}


def test_who_has_no_address_yet_is_left_out() -> None:
    assert participants(world(), Running()) == ()
    with pytest.raises(KeyError):  # but nothing is compiled without it
        compile_topology(world(), Running())


@pytest.mark.behaviour("4.13.1", "4.13.5", "7.2")
def test_cloud_nat_serves_instances_with_direct_egress_as_it_serves_vms() -> None:
    of = world()
    there = {one.node for one in of_network(of, running(of), VPC) if one.behind_nat}
    assert there == {"a", "c1-0001", "c1-0002", "flex", "web", "web-2"}
    (gateway,) = gateways(of, of.compute.routers[0], running(of).allocations.addresses)
    assert {one.node for one in of_network(of, running(of), VPC) if gateway.serves(one.address)} >= there


@pytest.mark.behaviour("4.1.15", "7.2")
def test_the_log_tells_of_vms_and_not_of_an_instance_with_direct_egress() -> None:
    of, found = world(), known()
    records = Records(of, running(of), VPC)

    def details(sender: str) -> Any:
        connection = LoggedConnection(found[sender].address, 4000, "203.0.113.7", 80, 6)
        return records.entry("r", connection, 0)["jsonPayload"]["instance"]

    assert details("a") == {"project_id": "p", "vm_name": "a", "region": "us-central1", "zone": "us-central1-a"}
    assert details("c1-0001") == {"project_id": "p", "vm_name": "c1-0001", "region": "us-central1"}
    assert details("flex") == {"project_id": "p", "vm_name": "flex", "region": "us-central1"}
    assert [records.tells_of(found[one].address) for one in ("a", "c1-0001", "flex", "web")] == [
        True,
        True,
        True,
        False,
    ]
