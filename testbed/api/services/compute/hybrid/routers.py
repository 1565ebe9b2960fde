"""Cloud Routers with Cloud NAT and BGP (behaviour 4.11, 4.13)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from testbed.api.calls.call import Call, serves
from testbed.api.contract import listing, masks
from testbed.api.services.compute.collection import API, Collection
from testbed.api.services.compute.hybrid.bgp_status import bgp_status
from testbed.api.services.compute.names import url
from testbed.control.accept.plane import ControlPlane
from testbed.control.state.resources import Record
from testbed.errors import NotFound
from testbed.fabric.allocation.cloud_nat import Block, Gateway, gateways
from testbed.fabric.allocation.keys import AddressKey
from testbed.fabric.allocation.running import Running
from testbed.fabric.inventory import Participant, of_network
from testbed.json_object import Json
from testbed.model.topology import Topology


def defaults(body: Json) -> Json:
    """A router with what Google fills in."""
    result = dict(body)
    if bgp := body.get("bgp"):
        result["bgp"] = {"advertiseMode": "DEFAULT", "keepaliveInterval": 20, **bgp}
    if peers := body.get("bgpPeers"):
        own = {one.get("name"): str(one.get("ipRange", "")).partition("/")[0] for one in body.get("interfaces", ())}
        result["bgpPeers"] = [_peer(peer, own.get(peer.get("interfaceName"), "")) for peer in peers]
    if "nats" in body:
        result["nats"] = [_nat(nat) for nat in body["nats"]]
    return result


def _peer(peer: Json, address: str) -> Json:
    """A BGP peer with what Google fills in."""
    given = {"ipAddress": address} if address else {}
    return {
        "advertiseMode": "DEFAULT",
        "advertisedRoutePriority": 100,
        "enable": "TRUE",
        "managementType": "MANAGED_BY_USER",
        **given,
        **peer,
    }


def _nat(nat: Json) -> Json:
    return {
        "type": "PUBLIC",
        "natIpAllocateOption": "AUTO_ONLY",
        "endpointTypes": ["ENDPOINT_TYPE_VM"],
        "sourceSubnetworkIpRangesToNat": "ALL_SUBNETWORKS_ALL_IP_RANGES",
        **nat,
    }


def view(_: ControlPlane, record: Record) -> Json:
    """Fields that a router always prints, and those of its NAT gateways, interfaces and BGP peers."""
    body = record.body
    result: Json = {"encryptedInterconnectRouter": body.get("encryptedInterconnectRouter", False)}
    if nats := body.get("nats"):
        result["nats"] = [_nat_view(nat) for nat in nats]
    if interfaces := body.get("interfaces"):
        result["interfaces"] = [_interface_view(interface) for interface in interfaces]
    if peers := body.get("bgpPeers"):
        result["bgpPeers"] = [_peer_view(peer) for peer in peers]
    return result


def _nat_view(nat: Json) -> Json:
    effective = nat.get("tcpTimeWaitTimeoutSec", 120)  # behaviour 4.13.4
    shown = {"autoNetworkTier": "PREMIUM", **_nat(nat), "effectiveTcpTimeWaitTimeoutSec": effective}
    if named := nat.get("natIps"):
        shown["natIps"] = [url(name) for name in named]
    if subnets := nat.get("subnetworks"):
        shown["subnetworks"] = [{**one, "name": url(one["name"])} for one in subnets]
    return shown


def _peer_view(peer: Json) -> Json:
    """A BGP peer, which carries routes of the version that its address has unless it says otherwise."""
    sixth = ":" in peer.get("peerIpAddress", "")
    return {"enableIpv4": not sixth, "enableIpv6": sixth, **peer}


def _interface_view(interface: Json) -> Json:
    shown = {"ipVersion": "IPV4", **interface}
    for key in ("linkedVpnTunnel", "linkedInterconnectAttachment"):
        if key in shown:
            shown[key] = url(shown[key])
    return shown


ROUTERS = Collection(
    name="routers",
    singular="router",
    scope="regions",
    defaults=defaults,
    view=view,
    immutable=frozenset({"name", "network"}),
).register()


@serves(API, "routers.preview")
def preview(call: Call) -> Json:
    """What a router would be after a patch with this body."""
    record = ROUTERS.record(call)
    body = ROUTERS.resolved(call, ROUTERS.completed(masks.merge(record.body, call.body), call), record.name)
    shown = Record(record.kind, record.name, body, created=record.created, number=record.number)
    return {"resource": ROUTERS.printed(call.plane, shown)}


@serves(API, "routers.getRouterStatus")
def status(call: Call) -> Json:
    """The addresses of its NAT gateways, its sessions as its speakers see them, and what they have learned."""
    record = ROUTERS.record(call)
    topology, running = call.plane.topology(), call.plane.running
    result: Json = {"network": url(record.body["network"])}
    own = _behind(topology, running, record)
    if found := list(_gateways(topology, record, running.allocations.addresses)):
        result["natStatus"] = [_nat_status(one, nat, own) for one, nat in zip(found, _nats(record), strict=True)]
    if record.body.get("bgpPeers"):
        result |= bgp_status(call.plane, topology, defaults(record.body), record.name)
    return {"kind": "compute#routerStatusResponse", "result": result}


def _nat_status(gateway: Gateway, nat: Json, behind: Sequence[Participant]) -> Json:
    own = [one.address for one in behind]
    result: Json = {
        "name": gateway.name,
        "numVmEndpointsWithNatMappings": len(gateway.blocks(own)),
        "minExtraNatIpsNeeded": gateway.addresses_missing(own),
    }
    externals = list(gateway.externals)
    if named := nat.get("natIps"):
        return {**result, "userAllocatedNatIps": externals, "userAllocatedNatIpResources": [url(n) for n in named]}
    return {**result, "autoAllocatedNatIps": externals}


@serves(API, "routers.getNatMappingInfo")
def mappings(call: Call) -> Json:
    """Which NIC leaves by which address, and the block of ports that it has there."""
    record = ROUTERS.record(call)
    topology = call.plane.topology()
    chosen = call.text("natName")
    found = []
    known = [g for g in _gateways(topology, record, call.plane.running.allocations.addresses) if chosen in {"", g.name}]
    own = _behind(topology, call.plane.running, record)
    blocks = [gateway.blocks(one.address for one in own) for gateway in known]
    for one in own:
        shown = [_mapping(one.address, given[one.address]) for given in blocks if one.address in given]
        if shown:
            found.append({"instanceName": one.name, "interfaceNatMappings": shown})
    page = listing.page(
        found,
        size=call.number("maxResults"),
        token=call.text("pageToken"),
        collection=record.name,
        rules=listing.COMPUTE,
        key=lambda item: str(item["instanceName"]),
    )
    return {"kind": "compute#vmEndpointNatMappingsList", "id": record.name, **page.answer("result", always=True)}


def _mapping(address: str, block: Block) -> Json:
    ports = [f"{block.external}:{block.first}-{block.last}"]
    return {
        "sourceVirtualIp": address,
        "natIpPortRanges": ports,
        "numTotalNatPorts": block.size,
        "numTotalDrainNatPorts": 0,
    }


@serves(API, "routers.getNatIpInfo")
def addresses(call: Call) -> Json:
    """The addresses of NAT gateways."""
    record = ROUTERS.record(call)
    topology = call.plane.topology()
    used = {one.address for one in _behind(topology, call.plane.running, record)}
    result = []
    for gateway, nat in zip(
        _gateways(topology, record, call.plane.running.allocations.addresses), _nats(record), strict=True
    ):
        taken = {block.external for block in gateway.blocks(used).values()}
        mode = "MANUAL" if nat.get("natIps") else "AUTO"
        shown = [
            {"natIp": ip, "mode": mode, "usage": "IN_USE" if ip in taken else "UNUSED"} for ip in gateway.externals
        ]
        result.append({"natName": gateway.name, "natIpInfoMappings": shown})
    if chosen := call.text("natName"):
        result = [one for one in result if one["natName"] == chosen]
        if not result:
            raise NotFound(f"router '{record.name}': it has no NAT gateway '{chosen}'", reason="notFound")
    return {"result": result}


def _nats(record: Record) -> list[Json]:
    return list((record.effective or {}).get("nats", ()))


def _behind(topology: Topology, running: Running, record: Record) -> list[Participant]:
    """What the gateways of a router may have to serve."""
    return [one for one in of_network(topology, running, record.body["network"]) if one.behind_nat]


def _gateways(topology: Topology, record: Record, given: Mapping[AddressKey, str]) -> Iterator[Gateway]:
    """The NAT gateways of a router that are in effect."""
    for router in topology.compute.routers:
        if router.full_name == record.name:
            yield from gateways(topology, router, given)
