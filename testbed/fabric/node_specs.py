"""What runs in each node: image, command, environment, and the role that configures it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from testbed.fabric import link_local
from testbed.fabric.allocation.running import ConnectorInstance, ServerCertificate
from testbed.fabric.dns import internal
from testbed.fabric.plan import INFRASTRUCTURE_CORES, Node
from testbed.fabric.serverless import ingress
from testbed.model.bgp import BgpSession
from testbed.model.compute.images import BUILT_IN
from testbed.model.compute.instance import Instance
from testbed.model.compute.machine_types import SHAPES, cores, shape
from testbed.model.core.ranges import PUBLIC_GOOGLE_API
from testbed.model.core.resource import last
from testbed.model.core.well_known import FRONT_END, LOAD_GENERATOR
from testbed.model.hybrid.outside import Host, VpnGateway
from testbed.model.hybrid.vpn import EVERYTHING, VpnTunnel
from testbed.model.managed.redis import RedisInstance
from testbed.model.serverless.workload import Workload

MIB = 1 << 20
GIB = 1 << 30
RUNTIME_MEMORY = 512 * MIB
"""Cloud Run's default limit per instance (recalled).  Files are in memory there; here they have as much again."""
VM_DISK = 10 * GIB
"""The size of a boot disk of Google's Debian images."""
_MOST_CORES = 4.0
"""A large machine does not take the processors from the others."""
_PLAIN = re.compile(r"[A-Za-z0-9._/-]*")
"""What is one word in nginx's configuration."""
_WEB_PORT = 80
TUNNEL = "tunnel"
"""What the tunnel of a route-based tunnel's node is called there."""
ANY = "ANY"
"""Cloud VPN offers all of its ciphers, AES-GCM first (behaviour 4.10.8)."""
TUNNEL_DEVICE = "ipsec0"
"""The device of user-space ESP in that node."""
ATTACHMENT_DEVICE = "vlan"
"""The device of a VLAN attachment in the nodes at its two ends."""
INTERCONNECT_DEVICE = "interconnect"
"""The device that it is on there, if it is tagged."""
_VPN_PRIVILEGES = ("NET_ADMIN", "NET_BIND_SERVICE")
"""What strongSwan needs for its tun device and routes, and insists on for its ports."""


FORWARDING = MappingProxyType({"net.ipv4.ip_forward": "1", "net.ipv4.conf.all.send_redirects": "0"})
"""Sysctls of an instance that may forward (`canIpForward`): so does its guest (our choice)."""
_FORWARDING_PRIVILEGES = ("NET_ADMIN",)
"""What an instance needs that translates addresses, or puts any on its loopback device."""
GUEST_PRIVILEGES = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "SETGID", "SETUID")
"""What root of a VM has of root's rights: enough to install packages and to run programs as other users."""


def _variables(**values: object) -> Mapping[str, object]:
    return MappingProxyType(values)


def vm(instance: Instance, node: str) -> Node:
    """A VM.  The testbed's own image is a web server; an image of the user's is left as it is."""
    image, machine = instance.image, last(instance.machine_type)
    ours = image == BUILT_IN
    return Node(
        node,
        "vm",
        image,
        role="web" if ours else None,
        variables=_variables(name=instance.name, port=_WEB_PORT) if ours else _variables(),
        capabilities=(*GUEST_PRIVILEGES, *(_FORWARDING_PRIVILEGES if instance.can_ip_forward else ())),
        root=True,
        memory=(shape(machine) or SHAPES["e2-micro"]).memory * MIB,
        disk=VM_DISK,
        cores=min(cores(machine), _MOST_CORES),
        hosts=link_local.HOSTS,
        is_client=True,
        search=internal.search(internal.project_of(instance.full_name), instance.zone),
    )


def host(given: Host, node: str, kind: str) -> Node:
    """A host outside the cloud."""
    return Node(node, kind, given.image, is_client=True)


def runtime(
    workload: Workload,
    node: str,
    environment: Mapping[str, str],
    secrets: Mapping[str, str],
    search: tuple[str, ...] = (internal.GOOGLE,),
) -> Node:
    """One container instance of a workload (Cloud Run's container contract: it listens on $PORT)."""
    return Node(
        node,
        workload.kind,
        workload.image,
        workload.command,
        workload.entrypoint,
        MappingProxyType(dict(environment)),
        MappingProxyType(dict(secrets)),
        workload.source,
        memory=RUNTIME_MEMORY,
        disk=RUNTIME_MEMORY,
        hosts=link_local.HOSTS,
        is_client=True,
        search=search,
    )


def connector(instance: ConnectorInstance) -> Node:
    """A connector instance: the data path is the kernel's, the container answers health checks."""
    return Node(instance.name, "connector-instance", "testbed/connector", cores=INFRASTRUCTURE_CORES)


def redis(instance: RedisInstance, node: str, auth_string: str | None, shown: ServerCertificate | None) -> Node:
    """A Redis instance; one with in-transit encryption has a certificate to be shown."""
    tls = {"certificate": shown.certificate, "key": shown.key} if shown else None
    return Node(
        node,
        "redis",
        "testbed/redis",
        role="redis",
        variables=_variables(
            auth_string=auth_string,
            port=instance.port,
            encrypted=instance.encrypted,
            tls=tls,
            maxmemory=int(instance.maxmemory * GIB),
            settings=dict(instance.settings),
            bind="0.0.0.0",  # noqa: S104 - inside the node
        ),
        memory=int((instance.memory_size_gb * 1.5 + 0.25) * GIB),  # keys, and buffers of clients
        cores=INFRASTRUCTURE_CORES,
    )


def front_end(
    workloads: Iterable[Workload], upstreams: Mapping[str, Sequence[str]], admitted: Mapping[str, Sequence[str]]
) -> Node:
    """The HTTP front end of all serverless services; `admitted` are the marks of networks that may call each.

    The model refuses names that nginx would take for more than a word.  Should one come, its service has no route, and
    the others are served.
    """
    routes = [
        {
            "host": w.host,
            "prefix": f"{w.path}/",
            "name": w.id,
            "resource": w.name,
            "upstreams": [f"{address}:{w.port}" for address in upstreams[w.name]],
            "refused": w.refused,
            "admitted": [*admitted[w.name]] if w.refused else [],
        }
        for w in workloads
        if all(map(_PLAIN.fullmatch, (w.host, w.path, w.name, w.id)))
    ]
    variables = _variables(routes=routes, inside_port=ingress.PORT, bringer=str(PUBLIC_GOOGLE_API))
    return Node(
        FRONT_END,
        "front-end",
        "testbed/frontend",
        role="frontend",
        variables=variables,
        cores=INFRASTRUCTURE_CORES,
    )


def load_generator(hosts: Mapping[str, str]) -> Node:
    """The load generator; it waits for commands."""
    return Node(
        LOAD_GENERATOR,
        "load-generator",
        "testbed/load",
        ("sleep", "infinity"),
        is_client=True,
        hosts=MappingProxyType(dict(hosts)),
        memory=4 * GIB,  # thousands of simulated users
        disk=4 * GIB,
    )


def cloud_vpn(name: str, address: str, tunnels: Sequence[VpnTunnel]) -> Node:
    """A classic VPN gateway.  Cloud VPN always initiates (behaviour 4.10.10)."""
    return _vpn(
        name,
        "vpn-gateway",
        [
            {
                "name": tunnel.name,
                "local_address": address,
                "peer_address": tunnel.peer_ip,
                "ike_version": tunnel.ike_version,
                "shared_secret": tunnel.shared_secret,
                "initiate": True,
                "local_selectors": list(tunnel.local_traffic_selector),
                "remote_selectors": list(tunnel.remote_traffic_selector),
                "cipher": ANY,
            }
            for tunnel in tunnels
        ],
    )


def site_gateway(cidr: str, gateway: VpnGateway, node: str) -> Node:
    """The gateway of a site of this range.  It initiates too: the side that is configured last brings up the tunnel."""
    return _vpn(
        node,
        "on-prem-gateway",
        [
            {
                "name": f"peer-{index}",
                "local_address": gateway.external_address,
                "peer_address": tunnel.peer_ip,
                "ike_version": tunnel.ike_version,
                "shared_secret": tunnel.shared_secret,
                "initiate": True,
                "local_selectors": [cidr],
                "remote_selectors": list(tunnel.remote_ranges),
                "cipher": tunnel.cipher,
            }
            for index, tunnel in enumerate(gateway.tunnels)
        ],
    )


@dataclass(frozen=True, slots=True)
class RouteBased:
    """One end of a tunnel with a node of its own."""

    address: str
    """Its external address."""
    peer: str
    secret: str = field(repr=False)
    ike_version: int
    session: BgpSession | None
    initiate: bool
    """Whether it is this end that asks for the tunnel."""
    cipher: str = ANY


def route_based(name: str, kind: str, end: RouteBased) -> Node:
    """The node of one route-based tunnel, with the BGP speaker beside it.

    Whether it comes up is seen to by a program of the node; the device of user-space ESP is the tunnel's interface.
    """
    tunnel = {
        "name": TUNNEL,
        "local_address": end.address,
        "peer_address": end.peer,
        "ike_version": end.ike_version,
        "shared_secret": end.secret,
        "initiate": False,
        "local_selectors": [EVERYTHING],
        "remote_selectors": [EVERYTHING],
        "cipher": end.cipher,
    }
    session = end.session
    interface = {"tunnel": TUNNEL, "address": session and session.address, "initiate": end.initiate}
    spoken = _spoken(session, TUNNEL_DEVICE) if session else None
    return Node(
        name,
        kind,
        "testbed/bgp",
        capabilities=_VPN_PRIVILEGES,
        devices=("/dev/net/tun",),
        cores=INFRASTRUCTURE_CORES,
        role="vpn",
        variables=_variables(tunnels=[tunnel], interface=interface, **({"bgp": spoken} if spoken else {})),
    )


def attachment(name: str, kind: str, session: BgpSession | None) -> Node:
    """One end of a VLAN attachment: BIRD alone, on the same image."""
    variables = _variables(bgp=_spoken(session, ATTACHMENT_DEVICE)) if session else _variables()
    return Node(
        name,
        kind,
        "testbed/bgp",
        ("runsv", "/etc/service/bird"),
        capabilities=_VPN_PRIVILEGES,
        cores=INFRASTRUCTURE_CORES,
        role="vpn" if session else None,
        variables=variables,
    )


def _spoken(session: BgpSession, device: str) -> Mapping[str, object]:
    """What BIRD has to know."""
    return {
        "address": session.address.partition("/")[0],
        "asn": session.asn,
        "peer_address": session.peer_address,
        "peer_asn": session.peer_asn,
        "keepalive": session.keepalive,
        "device": device,
        "advertised": [{"range": one.range, "priority": one.priority} for one in session.advertised],
        "inside": list(session.inside),
    }


def _vpn(name: str, kind: str, tunnels: list[dict[str, object]]) -> Node:
    return Node(
        name,
        kind,
        "testbed/vpn",
        capabilities=_VPN_PRIVILEGES,
        devices=("/dev/net/tun",),
        cores=INFRASTRUCTURE_CORES,
        role="vpn",
        variables=_variables(tunnels=tunnels, interface={}),
    )
