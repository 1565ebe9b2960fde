"""compute VPN: a classic gateway is whole piece by piece; a tunnel of an HA gateway is a node of its own."""

from __future__ import annotations

from typing import Any

import pytest

from testbed.control.watch.observation import BgpState
from testbed.fabric.allocation.running import LearnedRoute
from testbed.fabric.plan import Plan
from testbed.json_object import Json
from testbed.model.core.resource import Defaults
from testbed.model.topology import Topology
from tests.api.harness import Api, Refused

PROJECT = "compute/v1/projects/demo"
REGION = f"{PROJECT}/regions/us-central1"
SECRET = "a secret of sixteen"
TUNNEL = {
    "name": "tunnel",
    "targetVpnGateway": "regions/us-central1/targetVpnGateways/gw",
    "peerIp": "203.0.113.50",
    "sharedSecret": SECRET,
}
RULES = ({"IPProtocol": "ESP"}, {"IPProtocol": "UDP", "portRange": "500"}, {"IPProtocol": "UDP", "portRange": "4500"})


@pytest.fixture
def api(api: Api) -> Api:
    known = Defaults("demo", "us-central1", "us-central1-a")
    api.store.replace_topology(
        Topology.model_validate(
            {
                "name": "t",
                "project": "demo",
                "compute": {
                    "networks": [{"name": "vpc"}],
                    "subnetworks": [{"name": "us", "network": "vpc", "ipCidrRange": "10.0.0.0/24"}],
                    "addresses": [{"name": "ip", "address": "198.51.100.77"}, {"name": "other"}],
                },
            },
            context=known,
        )
    )
    return api


def gateway(api: Api) -> None:
    api.post(f"{REGION}/targetVpnGateways", {"name": "gw", "network": "global/networks/vpc"})


def rule(api: Api, index: int, address: str = "198.51.100.77", **more: Any) -> None:
    target = "regions/us-central1/targetVpnGateways/gw"
    body = {"name": f"r{index}", "IPAddress": address, "target": target, **RULES[index], **more}
    assert "error" not in api.post(f"{REGION}/forwardingRules", body)


def whole(api: Api) -> None:
    gateway(api)
    for index in range(3):
        rule(api, index)
    api.post(f"{REGION}/vpnTunnels", TUNNEL)
    api.post(
        f"{PROJECT}/global/routes",
        {
            "name": "to-office",
            "network": "global/networks/vpc",
            "destRange": "192.168.10.0/24",
            "priority": 1000,
            "nextHopVpnTunnel": "regions/us-central1/vpnTunnels/tunnel",
        },
    )


def plan(api: Api) -> Plan:
    assert api.kernel.plan is not None
    return api.kernel.plan


def route_kind(api: Api) -> str | None:
    vpc = next(space for space in plan(api).namespaces if space.name == "vpc-vpc")
    (route,) = (route for route in vpc.routes if route.destination == "192.168.10.0/24")
    return route.kind


def test_a_gateway_becomes_a_node_with_its_last_forwarding_rule(api: Api) -> None:
    gateway(api)
    api.post(f"{REGION}/vpnTunnels", TUNNEL)
    for index in range(3):
        assert "gw" not in {node.name for node in plan(api).nodes}
        assert api.get(f"{REGION}/vpnTunnels/tunnel")["status"] == "WAITING_FOR_FULL_CONFIG"
        rule(api, index)
    assert "gw" in {node.name for node in plan(api).nodes}
    read = api.get(f"{REGION}/targetVpnGateways/gw")
    assert read["status"] == "READY"
    assert len(read["forwardingRules"]) == 3
    assert len(read["tunnels"]) == 1


def test_routes_to_a_gateway_that_is_not_whole_lead_nowhere(api: Api) -> None:
    whole(api)
    assert route_kind(api) != "blackhole"
    api.delete(f"{REGION}/forwardingRules/r0")
    assert route_kind(api) == "blackhole"
    assert "gw" not in {node.name for node in plan(api).nodes}
    rule(api, 0)
    assert route_kind(api) != "blackhole"


def test_two_addresses_make_no_gateway(api: Api) -> None:
    gateway(api)
    rule(api, 0)
    rule(api, 1)
    rule(api, 2, "other")
    assert "gw" not in {node.name for node in plan(api).nodes}


def test_the_status_of_a_tunnel_is_what_ike_says(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    whole(api)
    tunnel = f"{REGION}/vpnTunnels/tunnel"
    assert api.get(tunnel)["status"] == "FIRST_HANDSHAKE"
    monkeypatch.setattr(api.plane.nodes, "established", {"gw": {"tunnel"}}.get)
    assert api.get(tunnel)["status"] == "ESTABLISHED"
    assert api.get(tunnel)["detailedStatus"] == "Tunnel is up and running."


def test_a_secret_is_never_printed(api: Api) -> None:
    whole(api)
    read = api.get(f"{REGION}/vpnTunnels/tunnel")
    assert read["sharedSecret"] == "*************"
    assert SECRET not in str(api.get(f"{REGION}/vpnTunnels"))
    assert SECRET not in str(api.get(f"{PROJECT}/aggregated/vpnTunnels"))
    assert read["sharedSecretHash"]


def test_a_forwarding_rule_reads_as_googles(api: Api) -> None:
    gateway(api)
    rule(api, 1, "https://www.googleapis.com/compute/v1/projects/demo/regions/us-central1/addresses/ip")
    read = api.get(f"{REGION}/forwardingRules/r1")
    assert (read["IPAddress"], read["portRange"]) == ("198.51.100.77", "500-500")
    assert read["target"].endswith("/regions/us-central1/targetVpnGateways/gw")
    with pytest.raises(Refused, match="in-use and would result in a conflict"):
        rule(api, 1, name="again", portRange="500-500")


def test_other_forwarding_rules_are_refused(api: Api) -> None:
    gateway(api)
    with pytest.raises(Refused, match="classic VPN gateways only") as caught:
        rule(api, 0, target="regions/us-central1/targetPools/p")
    assert caught.value.code == 501
    with pytest.raises(Refused, match="must be a reserved external address"):
        rule(api, 0, "198.51.100.99")
    with pytest.raises(Refused, match="portRange"):
        rule(api, 1, portRange="80")


def test_a_gateway_in_use_is_not_deleted(api: Api) -> None:
    whole(api)
    with pytest.raises(Refused, match="already being used by"):
        api.delete(f"{REGION}/targetVpnGateways/gw")
    api.delete(f"{PROJECT}/global/routes/to-office")
    for name in ("vpnTunnels/tunnel", "forwardingRules/r0", "forwardingRules/r1", "forwardingRules/r2"):
        api.delete(f"{REGION}/{name}")
    assert api.delete(f"{REGION}/targetVpnGateways/gw")["status"] == "DONE"


def ha(api: Api, **more: Any) -> dict[str, Any]:
    api.post(f"{REGION}/vpnGateways", {"name": "ha", "network": "global/networks/vpc"})
    api.post(
        f"{PROJECT}/global/externalVpnGateways",
        {
            "name": "peer",
            "redundancyType": "SINGLE_IP_INTERNALLY_REDUNDANT",
            "interfaces": [{"id": 0, "ipAddress": "203.0.113.60"}],
        },
    )
    return again(api, **more)


def again(api: Api, **more: Any) -> dict[str, Any]:
    body = {
        "name": "t0",
        "vpnGateway": "regions/us-central1/vpnGateways/ha",
        "vpnGatewayInterface": 0,
        "peerExternalGateway": "global/externalVpnGateways/peer",
        "peerExternalGatewayInterface": 0,
        "sharedSecret": SECRET,
        **more,
    }
    api.post(f"{REGION}/vpnTunnels", body)
    return api.get(f"{REGION}/vpnTunnels/{body['name']}")


@pytest.mark.behaviour("4.10.1", "4.10.4")
def test_a_tunnel_of_an_ha_gateway_is_a_node(api: Api) -> None:
    tunnel = ha(api)
    assert tunnel["status"] == "FIRST_HANDSHAKE"
    assert tunnel["peerIp"] == "203.0.113.60"
    assert tunnel["localTrafficSelector"] == tunnel["remoteTrafficSelector"] == ["0.0.0.0/0"]
    assert tunnel["vpnGateway"].endswith("/regions/us-central1/vpnGateways/ha")
    first, second = api.get(f"{REGION}/vpnGateways/ha")["vpnInterfaces"]
    assert (first["id"], second["id"]) == (0, 1)
    assert first["ipAddress"] != second["ipAddress"]
    (connection,) = api.get(f"{REGION}/vpnGateways/ha/getStatus")["result"]["vpnConnections"]
    assert connection["peerExternalGateway"].endswith("/global/externalVpnGateways/peer")
    assert connection["state"]["state"] == "CONNECTION_REDUNDANCY_NOT_MET"
    (node,) = (one for one in plan(api).nodes if one.name != "dns")
    assert (node.name, node.image) == ("t0", "testbed/bgp")
    assert "bgp" not in node.variables
    again(api, name="t1", vpnGatewayInterface=1)
    (connection,) = api.get(f"{REGION}/vpnGateways/ha/getStatus")["result"]["vpnConnections"]
    assert connection["state"]["state"] == "CONNECTION_REDUNDANCY_MET"


@pytest.mark.behaviour("4.10.3")
@pytest.mark.parametrize(
    ("peer", "said", "status"),
    [
        ("203.0.113.60", "nothing", "FIRST_HANDSHAKE"),
        ("203.0.113.60", "parsed IKE_AUTH response 1 [ N(AUTH_FAILED) ]", "AUTHORIZATION_ERROR"),
        ("203.0.113.60", "parsed IKE_SA_INIT response 0 [ N(NO_PROP) ]", "NEGOTIATION_FAILURE"),
        ("203.0.113.60", "retransmit 1 of request with message ID 0", "NO_INCOMING_PACKETS"),
        ("203.0.113.61", "parsed IKE_AUTH response 1 [ N(AUTH_FAILED) ]", "FIRST_HANDSHAKE"),
    ],
)
def test_the_status_of_a_tunnel_that_is_down(
    api: Api, monkeypatch: pytest.MonkeyPatch, peer: str, said: str, status: str
) -> None:
    ha(api)
    log = [
        f"T 05[NET] received packet: from {peer}[500] to 198.51.100.2[500] (9 bytes)",
        f"T 05[ENC] {said}",
        f"T 05[NET] sending packet: from 198.51.100.2[500] to {peer}[500] (9 bytes)",
    ]
    monkeypatch.setattr(api.plane.nodes, "log", {"t0": "\n".join(log)}.get)
    assert api.get(f"{REGION}/vpnTunnels/t0")["status"] == status


def session(api: Api) -> tuple[Json, Json]:
    """A router that speaks BGP beside the tunnel t0; returns its interface and its peer."""
    api.post(f"{REGION}/routers", {"name": "r", "network": "global/networks/vpc", "bgp": {"asn": 64512}})
    ha(api, router="regions/us-central1/routers/r")
    end = {"name": "i", "ipRange": "169.254.1.1/30", "linkedVpnTunnel": "regions/us-central1/vpnTunnels/t0"}
    other = {"name": "p", "interfaceName": "i", "peerIpAddress": "169.254.1.2", "peerAsn": 65010}
    api.patch(f"{REGION}/routers/r", {"interfaces": [end], "bgpPeers": [other]})
    return end, other


@pytest.mark.behaviour("4.5.3")
@pytest.mark.parametrize(
    ("region", "mode", "there"),
    [("us-central1", "REGIONAL", True), ("europe-west1", "REGIONAL", False), ("europe-west1", "GLOBAL", True)],
)
def test_a_peering_exchanges_dynamic_routes(api: Api, region: str, mode: str, there: bool) -> None:
    session(api)
    networks = f"{PROJECT}/global/networks"
    api.patch(f"{networks}/vpc", {"routingConfig": {"routingMode": mode}})
    api.post(networks, {"name": "other", "autoCreateSubnetworks": False})
    for mine, theirs, custom in (("vpc", "other", "export"), ("other", "vpc", "import")):
        body = {"name": "p", "network": f"global/networks/{theirs}", f"{custom}CustomRoutes": True}
        api.post(f"{networks}/{mine}/addPeering", {"networkPeering": body})
    api.store.learned_routes.replace([LearnedRoute("t0", "192.168.10.0/24", 50)])
    for network, direction in (("other", "INCOMING"), ("vpc", "OUTGOING")):
        query = {"peeringName": "p", "direction": direction, "region": region}
        found = api.get(f"{networks}/{network}/listPeeringRoutes", **query)["items"]
        dynamic = [one for one in found if one["type"] == "DYNAMIC_PEERING_ROUTE"]
        assert [one["destRange"] for one in dynamic] == ["192.168.10.0/24"] * there
        assert [(one["imported"], one["nextHopRegion"]) for one in dynamic] == [(True, "us-central1")] * there


@pytest.mark.behaviour("4.11.1", "4.11.5")
def test_a_router_speaks_bgp_beside_its_tunnel(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    end, other = session(api)
    (node,) = (one for one in plan(api).nodes if one.name != "dns")
    assert node.variables["bgp"] == {
        "address": "169.254.1.1",
        "asn": 64512,
        "peer_address": "169.254.1.2",
        "peer_asn": 65010,
        "keepalive": 20,
        "device": "ipsec0",
        "advertised": [{"range": "10.0.0.0/24", "priority": 100}],
        "inside": ["10.0.0.0/24"],
    }
    monkeypatch.setattr(api.plane.nodes, "bgp", {"t0": BgpState("Established", "", 1, 1)}.get)
    api.store.learned_routes.replace([LearnedRoute("t0", "192.168.10.0/24", 50)])
    result = api.get(f"{REGION}/routers/r/getRouterStatus")["result"]
    (peer,) = result["bgpPeerStatus"]
    assert (peer["status"], peer["state"], peer["numLearnedRoutes"]) == ("UP", "Established", 1)
    assert (peer["ipAddress"], peer["advertisedRoutes"][0]["destRange"]) == ("169.254.1.1", "10.0.0.0/24")
    (route,) = result["bestRoutes"]
    assert (route["destRange"], route["priority"], route["nextHopIp"]) == ("192.168.10.0/24", 50, "169.254.1.2")
    with pytest.raises(Refused, match="already being used by 'projects/demo/regions/us-central1/routers/r'"):
        api.delete(f"{REGION}/vpnTunnels/t0")
    with pytest.raises(Refused, match=r"not in 169\.254\.1\.0/30"):
        api.patch(f"{REGION}/routers/r", {"bgpPeers": [{**other, "peerIpAddress": "169.254.2.2"}]})
    with pytest.raises(Refused, match=r"169\.254\.0\.0/16"):
        api.patch(f"{REGION}/routers/r", {"interfaces": [{**end, "ipRange": "10.1.1.1/30"}]})


def test_ha_gateways_in_use_are_not_deleted(api: Api) -> None:
    ha(api)
    for name in (f"{REGION}/vpnGateways/ha", f"{PROJECT}/global/externalVpnGateways/peer"):
        with pytest.raises(Refused, match="already being used by 'projects/demo/regions/us-central1/vpnTunnels/t0'"):
            api.delete(name)
    api.delete(f"{REGION}/vpnTunnels/t0")
    api.delete(f"{REGION}/vpnGateways/ha")


def test_what_ha_refuses(api: Api) -> None:
    ha(api)
    body = {
        "name": "t1",
        "vpnGateway": "regions/us-central1/vpnGateways/ha",
        "peerIp": "203.0.113.60",
        "sharedSecret": SECRET,
    }
    with pytest.raises(Refused, match="vpnGateways/none' was not found"):
        api.post(f"{REGION}/vpnTunnels", {**body, "vpnGateway": "regions/us-central1/vpnGateways/none"})
    with pytest.raises(Refused, match="classic VPN tunnels only"):
        api.post(f"{REGION}/vpnTunnels", {**body, "localTrafficSelector": ["10.0.0.0/8"]})
    with pytest.raises(Refused, match="number of interfaces"):
        api.post(f"{PROJECT}/global/externalVpnGateways", {"name": "p", "redundancyType": "TWO_IPS_REDUNDANCY"})


def test_labels(api: Api) -> None:
    gateway(api)
    where = f"{REGION}/targetVpnGateways/gw"
    api.post(f"{where}/setLabels", {"labels": {"a": "b"}, "labelFingerprint": api.get(where)["labelFingerprint"]})
    assert api.get(where)["labels"] == {"a": "b"}
    with pytest.raises(Refused, match="Labels fingerprint"):
        api.post(f"{where}/setLabels", {"labels": {}, "labelFingerprint": "c3RhbGU="})
