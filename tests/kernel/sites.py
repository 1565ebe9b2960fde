"""Random sites and the classic VPN tunnels to them, for the oracle's proof; and tunnels that bare namespaces have.

Those are veth pairs where IPsec would be: each end's routes send through what both have agreed to, as policies would.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from testbed.fabric.given_names import site as site_key
from testbed.fabric.oracle.cloud import Cloud
from testbed.fabric.oracle.tunnels import Tunnel, established
from testbed.fabric.plan import End, Interface, Namespace, Neighbour, Plan, PolicyRule, Route, Veth
from testbed.fabric.running import Running
from testbed.fabric.wiring import LEFT, RIGHT, mac
from testbed.model.topology import Topology

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
        "addresses": [], "targetVpnGateways": [], "forwardingRules": [], "vpnTunnels": [],
    }  # fmt: skip
    sites: list[Data] = []
    chosen = draw(st.lists(st.sampled_from(names), max_size=len(SITES), unique=True))
    everything = st.just(["0.0.0.0/0"])
    for index, network in enumerate(chosen):
        range_, address, peer = SITES[index], f"198.51.100.{200 + index}", f"203.0.113.{50 + index}"
        narrow = st.lists(
            st.sampled_from((*subnets.values(), "10.8.0.0/28", "192.168.0.0/16", "199.36.153.8/30")),
            min_size=1, max_size=3, unique=True,
        )  # fmt: skip
        behind = st.one_of(st.just(["10.0.0.0/8"]), st.just(["10.0.0.0/8", "199.36.153.8/30"]), narrow)
        up = draw(st.integers(0, 5)) > 0
        vpn["addresses"].append({"name": f"ip-{network}", "address": address})
        vpn["targetVpnGateways"].append({"name": f"gw-{network}", "network": network})
        for protocol, port in (("ESP", None), ("UDP", "500"), ("UDP", "4500")):
            rule = {"name": f"{protocol.lower()}{port or ''}-{network}", "IPAddress": f"ip-{network}"}
            vpn["forwardingRules"].append(
                {**rule, "IPProtocol": protocol, "portRange": port, "target": f"gw-{network}"}
            )
        vpn["vpnTunnels"].append({
            "name": f"tunnel-{network}", "targetVpnGateway": f"gw-{network}", "sharedSecret": SECRET, "peerIp": peer,
            "localTrafficSelector": draw(st.one_of(everything, behind)),
            "remoteTrafficSelector": draw(st.one_of(everything, st.just([range_]), st.just(["192.168.0.0/25"]))),
        })  # fmt: skip
        known = draw(st.lists(st.sampled_from((*subnets.values(), "10.8.0.0/28")), unique=True))
        sites.append({
            "firewall": draw(st.sampled_from((None, None, {"allowedSources": known}))),
            "name": f"site{index}", "range": range_, "hosts": [{"name": f"host{index}", "address": f"{range_[:-4]}10"}],
            "gateway": {
                "name": f"router{index}", "externalAddress": peer, "internalAddress": f"{range_[:-4]}1",
                "tunnels": [{
                    "peerIp": address, "sharedSecret": SECRET if up else "another secret",
                    "remoteRanges": draw(behind),
                }],
            },
        })  # fmt: skip
    return vpn, sites


def with_tunnels(plan: Plan, topology: Topology, running: Running) -> Plan:
    """A plan whose tunnels carry packets."""
    gateways = {tunnel.full_name: tunnel.target_vpn_gateway for tunnel in topology.compute.vpn_tunnels}
    spaces = {space.name: space for space in plan.namespaces}
    veths = list(plan.veths)
    for index, tunnel in enumerate(established(Cloud(topology, running))):
        cloud = running.name(str(gateways[tunnel.name]))
        on_prem = running.name(site_key(tunnel.site.name, "gateway"))
        ends = (cloud, LEFT, RIGHT), (on_prem, RIGHT, LEFT)
        device = f"ipsec{index}"
        veths.append(Veth(*(End(name, Interface(device, frozenset(), mac(mine), 1400)) for name, mine, _ in ends)))
        for (name, _, other), (sources, targets) in zip(ends, _directions(tunnel), strict=True):
            routes = frozenset(_routes(device, other, sources, targets))
            spaces[name] = _joined(spaces[name], Neighbour(other, mac(other), device), routes, sources)
    return replace(plan, namespaces=tuple(spaces.values()), veths=tuple(veths))


def _directions(tunnel: Tunnel) -> Iterator[tuple[Sequence[str], Sequence[str]]]:
    yield tunnel.local, tunnel.remote
    yield tunnel.remote, tunnel.local


def _routes(device: str, hop: str, sources: Sequence[str], targets: Sequence[str]) -> Iterator[Route]:
    for table, _ in enumerate(sources, _FIRST_TABLE):
        yield from (Route(target, device, hop, table=table) for target in targets)


def _joined(space: Namespace, hop: Neighbour, routes: frozenset[Route], sources: Sequence[str]) -> Namespace:
    rules = frozenset(PolicyRule(1000, source, table) for table, source in enumerate(sources, _FIRST_TABLE))
    return replace(
        space, neighbours=space.neighbours | {hop}, routes=space.routes | routes, rules=space.rules | rules
    )  # fmt: skip
