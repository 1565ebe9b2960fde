"""Random sites with classic VPN tunnels or VLAN attachments, for the oracle's proof; and how bare namespaces have them.

A tunnel is a veth pair where IPsec would be: each end's routes send through what both have agreed to, as policies do.
What BGP would bring is given: as a part of the running state, and as the routes of the nodes that would speak it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from testbed.fabric.allocation.keys import NameKey
from testbed.fabric.allocation.running import LearnedRoute, Running
from testbed.fabric.hybrid.vpn import importers
from testbed.fabric.node_specs import ATTACHMENT_DEVICE
from testbed.fabric.plan import End, Interface, KernelRoute, Namespace, Neighbour, Plan, RoutingRule, Veth
from testbed.fabric.wiring import LEFT, RIGHT, mac
from testbed.model.bgp import sessions
from testbed.model.compute.router import Session
from testbed.model.hybrid.outside import Site
from testbed.model.topology import Topology
from testbed.oracle.cloud import Cloud
from testbed.oracle.tunnels import Tunnel, attachments, established

Data = dict[str, Any]

SITES = ("192.168.0.0/24", "192.168.1.0/24")
"""What lies on premises."""
SECRET = "a secret of a tunnel"
_FIRST_TABLE = 5000


def from_sites(draw: st.DrawFn, names: Sequence[str]) -> list[Data]:
    """Some networks let in what comes from the sites."""
    rule = {"priority": 500, "sourceRanges": ["192.168.0.0/16"], "allowed": "all"}
    return [{"name": f"sites-{name}", "network": name, **rule} for name in names if draw(st.booleans())]


@st.composite
def hybrid(draw: st.DrawFn, names: Sequence[str], subnets: Mapping[str, str]) -> tuple[Data, list[Data]]:
    """Up to two sites, each with a tunnel to a gateway of its own in one of the networks; some tunnels are down.

    Gateways are called `gw-NETWORK`; a network has one at most, with one tunnel.
    """
    vpn: dict[str, list[Data]] = {
        "addresses": [],
        "targetVpnGateways": [],
        "forwardingRules": [],
        "vpnTunnels": [],
        "routers": [],
        "interconnectAttachments": [],
    }
    sites: list[Data] = []
    for index, network in enumerate(draw(st.lists(st.sampled_from(names), max_size=len(SITES), unique=True))):
        kind = draw(st.sampled_from((_by_tunnel, _by_attachment)))
        sites.append(draw(kind(vpn, index, network, subnets)))
    return vpn, sites


def _inside(subnets: Mapping[str, str], *more: str) -> st.SearchStrategy[list[str]]:
    """Ranges of the cloud: all of it, or some."""
    some = st.lists(
        st.sampled_from((*subnets.values(), "10.8.0.0/28", "192.168.0.0/16", "199.36.153.8/30", *more)),
        min_size=1,
        max_size=3,
        unique=True,
    )
    return st.one_of(st.just(["10.0.0.0/8"]), st.just(["10.0.0.0/8", "199.36.153.8/30"]), some)


def _site(draw: st.DrawFn, index: int, subnets: Mapping[str, str]) -> tuple[Data, str]:
    """What sites have in common, and the address of the way out."""
    range_ = SITES[index]
    host = {"name": f"host{index}", "address": f"{range_[:-4]}10"}
    known = draw(st.lists(st.sampled_from((*subnets.values(), "10.8.0.0/28")), unique=True))
    firewall = draw(st.sampled_from((None, None, {"allowedSources": known})))
    return {"name": f"site{index}", "range": range_, "hosts": [host], "firewall": firewall}, f"{range_[:-4]}1"


@st.composite
def _by_tunnel(
    draw: st.DrawFn, vpn: dict[str, list[Data]], index: int, network: str, subnets: Mapping[str, str]
) -> Data:
    """A site with a classic tunnel, which may be down."""
    made, internal = _site(draw, index, subnets)
    address, peer = f"198.51.100.{200 + index}", f"203.0.113.{50 + index}"
    behind, everything = _inside(subnets), st.just(["0.0.0.0/0"])
    vpn["addresses"].append({"name": f"ip-{network}", "address": address})
    vpn["targetVpnGateways"].append({"name": f"gw-{network}", "network": network})
    for protocol, port in (("ESP", None), ("UDP", "500"), ("UDP", "4500")):
        rule = {"name": f"{protocol.lower()}{port or ''}-{network}", "IPAddress": f"ip-{network}"}
        vpn["forwardingRules"].append({**rule, "IPProtocol": protocol, "portRange": port, "target": f"gw-{network}"})
    vpn["vpnTunnels"].append(
        {
            "name": f"tunnel-{network}",
            "targetVpnGateway": f"gw-{network}",
            "sharedSecret": SECRET,
            "peerIp": peer,
            "localTrafficSelector": draw(st.one_of(everything, behind)),
            "remoteTrafficSelector": draw(st.sampled_from((["0.0.0.0/0"], [made["range"]], ["192.168.0.0/25"]))),
        }
    )
    up = draw(st.integers(0, 5)) > 0
    tunnel = {
        "peerIp": address,
        "sharedSecret": SECRET if up else "another secret",
        "remoteRanges": draw(behind),
    }
    return {
        **made,
        "gateway": {
            "name": f"router{index}",
            "externalAddress": peer,
            "internalAddress": internal,
            "tunnels": [tunnel],
        },
    }


@st.composite
def _by_attachment(
    draw: st.DrawFn, vpn: dict[str, list[Data]], index: int, network: str, subnets: Mapping[str, str]
) -> Data:
    """A site with a VLAN attachment; each side advertises what it has, more, or less."""
    made, internal = _site(draw, index, subnets)
    mine, theirs = f"169.254.{index}.1", f"169.254.{index}.2"
    custom = {"advertiseMode": "CUSTOM", "advertisedIpRanges": [{"range": cidr} for cidr in draw(_inside(subnets))]}
    vpn["interconnectAttachments"].append(
        {"name": f"vlan-{network}", "router": f"bgp-{network}", "adminEnabled": draw(st.integers(0, 5)) > 0}
    )
    vpn["routers"].append(
        {
            "name": f"bgp-{network}",
            "network": network,
            "bgp": {"asn": 64512, **(custom if draw(st.booleans()) else {})},
            "interfaces": [{"name": "if", "ipRange": f"{mine}/29", "linkedInterconnectAttachment": f"vlan-{network}"}],
            "bgpPeers": [{"name": "peer", "interfaceName": "if", "peerIpAddress": theirs, "peerAsn": 65010}],
        }
    )
    part = f"{subnets[network][:-3]}/25"
    said = st.lists(
        st.sampled_from((made["range"], made["range"], "192.168.0.0/16", "10.50.0.0/16", "203.0.113.0/24", part)),
        max_size=3,
        unique=True,
    )
    session = {
        "ipRange": f"{theirs}/29",
        "peerIpAddress": mine,
        "peerAsn": 64512,
        "advertisedRoutePriority": draw(st.sampled_from((0, 100, 1000))),
    }
    return {
        **made,
        "bgp": {"asn": 65010, "advertisedRanges": draw(said)},
        "router": {
            "name": f"router{index}",
            "internalAddress": internal,
            "attachments": [{"attachment": f"vlan-{network}", "bgp": session}],
        },
    }


def learned(topology: Topology, running: Running) -> Iterator[tuple[LearnedRoute, str]]:
    """What BGP would have brought, with the address of the peer that said it."""
    spoken, ends = sessions(topology), ends_of(topology)
    for link in attachments(Cloud(topology, running)):
        mine, (theirs, place) = spoken[link.name], ends[link.name]
        said = (place.bgp and place.bgp.advertised_ranges) or (place.range,)
        inner = (*topology.ranges_of(link.network), *importers(topology, running, link.network))
        for cidr in said:
            if replace(mine, inside=inner).believes(cidr):
                yield LearnedRoute(link.node, cidr, theirs.advertised_route_priority), mine.peer_address
        for one in mine.advertised:
            if replace(mine, inside=(place.range,)).believes(one.range):
                yield LearnedRoute(link.far, one.range, one.priority), theirs.peer_ip_address


def ends_of(topology: Topology) -> dict[str, tuple[Session, Site]]:
    """The sites' ends of attachments."""
    return {
        end.attachment: (end.bgp, place)
        for place in topology.on_prem.sites
        if place.router
        for end in place.router.attachments
    }


def with_tunnels(plan: Plan, topology: Topology, running: Running) -> Plan:
    """A plan whose tunnels carry packets."""
    gateways = {tunnel.full_name: tunnel.target_vpn_gateway for tunnel in topology.compute.vpn_tunnels}
    spaces = {space.name: space for space in plan.namespaces}
    veths = list(plan.veths)
    for index, tunnel in enumerate(established(Cloud(topology, running))):
        cloud = running.name(NameKey.node(str(gateways[tunnel.name])))
        on_prem = running.name(NameKey.site_end(tunnel.site.name, 0))
        ends = (cloud, LEFT, RIGHT), (on_prem, RIGHT, LEFT)
        device = f"ipsec{index}"
        veths.append(Veth(*(End(name, Interface(device, frozenset(), mac(mine), 1400)) for name, mine, _ in ends)))
        for (name, _, other), (sources, targets) in zip(ends, _directions(tunnel), strict=True):
            routes = frozenset(_routes(device, other, sources, targets))
            spaces[name] = _joined(spaces[name], Neighbour(other, mac(other), device), routes, sources)
    for route, peer in learned(topology, running):  # as BIRD would write it into the node's kernel
        written = KernelRoute(route.destination, ATTACHMENT_DEVICE, peer, metric=route.priority)
        spaces[route.node] = replace(spaces[route.node], routes=spaces[route.node].routes | {written})
    return replace(plan, namespaces=tuple(spaces.values()), veths=tuple(veths))


def _directions(tunnel: Tunnel) -> Iterator[tuple[Sequence[str], Sequence[str]]]:
    yield tunnel.local, tunnel.remote
    yield tunnel.remote, tunnel.local


def _routes(device: str, hop: str, sources: Sequence[str], targets: Sequence[str]) -> Iterator[KernelRoute]:
    for table, _ in enumerate(sources, _FIRST_TABLE):
        yield from (KernelRoute(target, device, hop, table=table) for target in targets)


def _joined(space: Namespace, hop: Neighbour, routes: frozenset[KernelRoute], sources: Sequence[str]) -> Namespace:
    rules = frozenset(RoutingRule(1000, source, table) for table, source in enumerate(sources, _FIRST_TABLE))
    return replace(space, neighbours=space.neighbours | {hop}, routes=space.routes | routes, rules=space.rules | rules)
