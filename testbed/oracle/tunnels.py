"""The ways to on-prem sites: which are up, and what is sent through.

Whether a classic VPN tunnel is up is said by both configurations: each names the other's address, and they have one
secret; both ends agree on traffic selectors (behaviour 4.10.4).  A VLAN attachment is up if both ends are there; what
it is for is the routes that each end has learned, which are a part of the running state (behaviour 4.11, 4.12).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network

from testbed.fabric.allocation.keys import AddressKey, NameKey
from testbed.model.bgp import sessions
from testbed.model.hybrid.outside import PeerTunnel, Site
from testbed.model.hybrid.vpn import VpnTunnel, external_address
from testbed.model.peering import active
from testbed.oracle.cloud import Cloud, within


@dataclass(frozen=True, slots=True)
class Attachment:
    """A VLAN attachment with its two ends."""

    name: str
    network: str
    site: Site
    node: str
    """The cloud's end."""
    far: str
    """The site's end."""
    local: tuple[str, ...]
    """What the cloud's end takes into the network: what it advertises, and what it would have to."""


@dataclass(frozen=True, slots=True)
class Tunnel:
    """A tunnel that is up."""

    name: str
    network: str
    site: Site
    configured: tuple[tuple[str, ...], tuple[str, ...]]
    """The local and the remote selectors of the cloud's side."""
    local: tuple[str, ...]
    remote: tuple[str, ...]
    """Those that the peer has agreed to."""

    def takes(self, inside: str, outside: str) -> bool:
        """Whether packets between an address of the cloud and one of the site go through."""
        return _has(self.local, inside) and _has(self.remote, outside)

    def local_mismatch(self, inside: str) -> bool:
        """Whether it is the cloud's address that no selector has."""
        return not _has(self.configured[0], inside) or not _has(self.local, inside)


def established(cloud: Cloud) -> list[Tunnel]:
    """Every classic tunnel that is up, with the site at its other end."""
    compute = cloud.topology.compute
    networks = {gateway.full_name: gateway.network for gateway in compute.target_vpn_gateways}
    return [
        made
        for tunnel in compute.vpn_tunnels
        if tunnel.target_vpn_gateway is not None
        for site, peer in _peers(cloud, tunnel, tunnel.target_vpn_gateway)
        if (made := _agreed(tunnel, networks[tunnel.target_vpn_gateway], site, peer)).local and made.remote
    ]


def attachments(cloud: Cloud) -> list[Attachment]:
    """Every VLAN attachment that carries packets."""
    return [*_attachments(cloud)]


def _attachments(cloud: Cloud) -> Iterator[Attachment]:
    topology, spoken = cloud.topology, sessions(cloud.topology)
    routers = {router.full_name: router.network for router in topology.compute.routers}
    enabled = {a.full_name: routers[a.router] for a in topology.compute.interconnect_attachments if a.admin_enabled}
    for site in topology.on_prem.sites:
        for index, end in enumerate(site.router.attachments if site.router else ()):
            network, name = enabled.get(end.attachment), end.attachment
            if network is not None and name in spoken:
                said = (one.range for one in spoken[name].advertised)
                local = (*topology.ranges_of(network), *_importing(cloud, network), *said)
                keys = NameKey.node(name), NameKey.site_end(site.name, index)
                ends = cloud.running.name(keys[0]), cloud.running.name(keys[1])
                yield Attachment(name, network, site, *ends, local)


def _importing(cloud: Cloud, network: str) -> Iterator[str]:
    """The ranges of peers that import the network's custom routes: they are behind its attachments, too (4.5.3)."""
    for (mine, theirs), sides in active(cloud.topology.networks).items():
        if mine == network and sides.mine.export_custom_routes and sides.theirs.import_custom_routes:
            yield from cloud.topology.ranges_of(theirs)
            yield from cloud.private_services(theirs)


def _peers(cloud: Cloud, tunnel: VpnTunnel, gateway: str) -> Iterator[tuple[Site, PeerTunnel]]:
    key = external_address(gateway, cloud.topology.compute.forwarding_rules)
    for site in cloud.topology.on_prem.sites:
        for peer in site.gateway.tunnels if site.gateway else ():
            mutual = site.gateway and site.gateway.external_address == tunnel.peer_ip
            alike = (peer.shared_secret, peer.ike_version) == (tunnel.shared_secret, tunnel.ike_version)
            if key and mutual and alike and peer.peer_ip == cloud.running.address(AddressKey.reserved(key)):
                yield site, peer


def _agreed(tunnel: VpnTunnel, network: str, site: Site, peer: PeerTunnel) -> Tunnel:
    """Each side's selectors are narrowed to the other's (RFC 7296, section 2.9)."""
    local, remote = tunnel.local_traffic_selector, tunnel.remote_traffic_selector
    agreed = tuple(_common(local, peer.remote_ranges)), tuple(_common(remote, (site.range,)))
    return Tunnel(tunnel.full_name, network, site, (local, remote), *agreed)


def _common(ones: Iterable[str], others: Iterable[str]) -> Iterator[str]:
    theirs = [IPv4Network(cidr) for cidr in others]
    for one in map(IPv4Network, ones):
        for other in theirs:
            if one.overlaps(other):
                yield str(max(one, other, key=lambda cidr: cidr.prefixlen))


def _has(ranges: Iterable[str], address: str) -> bool:
    return any(within(address, cidr) for cidr in ranges)
