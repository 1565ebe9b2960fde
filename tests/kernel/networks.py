"""Random networks for the oracle's proof: small, and full of what is easy to get wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Network
from itertools import combinations, count
from typing import Any

import yaml
from hypothesis import strategies as st

from testbed.fabric.allocation.addressing import allocate, next_instance, redis_host
from testbed.fabric.allocation.allocations import Allocations
from testbed.fabric.allocation.keys import AddressKey, NameKey, RangeKey, container_instances
from testbed.fabric.allocation.running import Health, Running
from testbed.model.core.resource import Defaults
from testbed.model.topology import Topology
from testbed.oracle.verdict import Flow, Protocol
from tests.kernel.policies import ordered, policies
from tests.kernel.sites import SITES, from_sites, hybrid, learned

Data = dict[str, Any]

REGION, ZONE = "us-central1", "us-central1-a"
TAGS = ("web", "db")
ACCOUNT = "robot@p.iam.gserviceaccount.com"
HOSTS = {"near": "203.0.113.10", "far": "203.0.113.77"}
PORTS: dict[Protocol, Sequence[int | None]] = {
    "tcp": (22, 25, 80, 443, 8080),
    "udp": (53, 68, 80, 665, 5000),
    "icmp": (None,),
}
REDIS: dict[Protocol, Sequence[int | None]] = {"tcp": (6379, 6378, 80), "udp": (6379,), "icmp": (None,)}
"""What Redis instances are asked by."""
SPECS = (
    "all",
    "tcp",
    "udp",
    "icmp",
    "6",
    "17",
    "1",
    "tcp:80",
    "tcp:22-80",
    "tcp:443,tcp:8080",
    "udp:53",
    "udp:53-665",
    "udp:665-666",
    "tcp:80,udp,icmp",
    "tcp:25",
    "udp:68",
    "sctp:80",
    "esp,ah,ipip",
    "50",
)
PRIORITIES = (0, 99, 100, 900, 1000, 1000, 1001, 65535)
RANGES = (
    "0.0.0.0/0", "10.0.0.0/8", "10.0.0.0/15", "10.0.0.0/16", "10.1.0.0/16", "10.0.0.0/24", "10.0.0.2/32", "10.1.0.3/32",
    "10.8.0.0/28", "10.9.0.0/28", "35.199.224.0/19", "203.0.113.0/24", "203.0.113.10/32", "198.51.100.0/24",
    "192.0.2.0/24", "192.168.0.0/24",
)  # fmt: skip
DESTINATIONS = (
    "192.168.0.0/16", "192.168.0.0/24", "192.168.1.0/25",
    "0.0.0.0/0", "10.0.0.0/8", "10.50.0.0/16", "10.50.1.0/24", "172.16.0.0/12", "203.0.113.0/24", "203.0.113.10/32",
    "198.51.100.0/24", "192.0.2.0/24", "199.36.153.8/30", "35.199.224.0/20", "35.191.0.0/24",
)  # fmt: skip
GOOGLE = ("199.36.153.8", "199.36.153.6", "203.0.113.1")
"""Addresses of Google's APIs: the private and the restricted VIP, and the public one."""
NOWHERE = ("10.0.0.200", "10.50.1.1", "172.16.5.5", "203.0.113.200")
"""Destinations that nothing has: of a subnet, of static routes, of the internet."""


@dataclass(frozen=True, slots=True)
class Case:
    """A network, and the health of each connector instance."""

    topology: Data
    instances: Sequence[tuple[str, Health]]

    def text(self) -> str:
        """As a file that `read` takes."""
        return str(yaml.safe_dump({"topology": self.topology, "instances": [*map(list, self.instances)]}))

    def parsed(self) -> Topology:
        """The topology."""
        return Topology.model_validate(self.topology, context=Defaults("p", REGION, ZONE))

    def running(self, topology: Topology) -> Running:
        """The running state: instances of the given health."""
        connectors = {connector.id: connector for connector in topology.vpcaccess.connectors}
        found: list[Any] = []
        for serial, (name, health) in enumerate(self.instances, 1):
            connector = connectors[name]
            one = next_instance(connector, topology.connector_range(connector), found, serial)
            found.append(type(one)(one.name, one.connector, one.address, health, one.machine_type))
        running = Running(allocate(topology, Allocations()), tuple(found))
        return replace(running, learned=tuple(sorted(route for route, _ in learned(topology, running))))


def read(text: str) -> Case:
    """The case in a file."""
    data = yaml.safe_load(text)
    return Case(data["topology"], [(name, health) for name, health in data["instances"]])


def flows(topology: Topology, running: Running) -> Iterator[Flow]:
    """From everything that sends to everything that there is, by each protocol; ports take turns."""
    containers = [one for workload in topology.workloads for one in container_instances(workload)]
    workloads = [running.name(NameKey.runtime(one)) for one in containers]
    machines = [
        running.name(NameKey.node(instance.full_name)) for instance in topology.compute.instances if instance.runs
    ]
    hosts = {running.name(NameKey.internet_host(name)): address for name, address in HOSTS.items()}
    instances = [instance.full_name for instance in topology.compute.instances]
    keys = [*map(AddressKey.instance, instances), *map(AddressKey.external, instances)]
    keys += map(AddressKey.interface, containers)
    caches = [running.range(RangeKey.redis(redis.full_name)) for redis in topology.redis.instances]
    there = [running.address(key) for key in keys if key in running.allocations.addresses]
    there += [instance.address for instance in running.instances]
    hosts |= {
        running.name(NameKey.site_host(place.name, host.name)): host.address
        for place in topology.on_prem.sites
        for host in place.hosts
    }
    numbers = count()
    for source in (*machines, *workloads, *hosts):
        for destination in dict.fromkeys((*there, *hosts.values(), *GOOGLE, *NOWHERE)):
            if hosts.get(source) != destination:
                for protocol, ports in PORTS.items():
                    yield Flow(source, destination, protocol, ports[next(numbers) % len(ports)])
        for cidr in caches:
            for protocol, ports in REDIS.items():
                yield from (Flow(source, redis_host(cidr), protocol, port) for port in ports)
            yield Flow(source, str(IPv4Network(cidr)[4]), "tcp", REDIS["tcp"][0])  # nothing has that one


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """One to three networks with all that belongs to them."""
    names = ["a", "b", "c"][: draw(st.integers(1, 3))]
    subnets = {name: f"10.{index}.0.0/24" for index, name in enumerate(names)}
    machines = [machine for name in names for machine in draw(_machines(name))]
    in_networks = st.sampled_from(names)
    subnetworks = [
        {"name": n, "network": n, "ipCidrRange": cidr, "privateIpGoogleAccess": draw(st.booleans())}
        for n, cidr in subnets.items()
    ]
    connectors = [draw(_connectors(index, in_networks, subnetworks)) for index in range(draw(st.integers(0, 2)))]
    healths: st.SearchStrategy[list[Health]] = st.lists(
        st.sampled_from(("healthy", "healthy", "healthy", "unhealthy", "starting")), max_size=2
    )
    tags = (*TAGS, "vpc-connector", *(f"vpc-connector-{REGION}-{connector['name']}" for connector in connectors))
    rules = draw(st.lists(st.tuples(in_networks, _rules(tags)), max_size=5 * len(names)))
    vpn, sites = draw(hybrid(names, subnets))
    tunnels = {tunnel["name"]: tunnel["targetVpnGateway"] for tunnel in vpn["vpnTunnels"]}
    routes = draw(st.lists(st.tuples(in_networks, _routes(machines, tags)), max_size=3 * len(names)))
    routes += [(gateway[3:], draw(_into(tunnel, tags))) for tunnel, gateway in tunnels.items() for _ in range(2)]
    topology = {
        "name": "t",
        "project": "p",
        "region": REGION,
        "zone": ZONE,
        "compute": {
            "networks": ordered(draw, _networks(draw, names)),
            "subnetworks": subnetworks,
            "instances": machines,
            "firewalls": [
                *({"name": f"r{i}", "network": net, **rule} for i, (net, rule) in enumerate(rules)),
                *from_sites(draw, names if sites else ()),
            ],
            "routes": [
                {"name": f"s{i}", "network": network, **route}
                for i, (network, route) in enumerate(routes)
                if "nextHopInstance" not in route or route["nextHopInstance"].startswith(network)
            ],
            "globalAddresses": _allocated(names),
            **vpn,
            "routers": [*vpn["routers"], *(router for name in names for router in draw(_routers(name)))],
            **draw(policies(names)),
        },
        "vpcaccess": {"connectors": connectors},
        "appengine": {"application": {"id": "p", "locationId": "us-central"}, "versions": draw(_flexible(names))},
        **draw(_redis(names)),
        "run": {"services": [*_services(connectors), *draw(_direct(names))]},
        "internet": {"hosts": [{"name": name, "address": address} for name, address in HOSTS.items()]},
        "onPrem": {"sites": sites},
    }
    return Case(topology, [(connector["name"], health) for connector in connectors for health in draw(healths)])


def _networks(draw: st.DrawFn, names: Sequence[str]) -> list[Data]:
    networks: dict[str, Data] = {
        name: {"name": name, "deleteDefaultRoutesOnCreate": draw(st.sampled_from((False, False, False, True)))}
        for name in names
    }
    for pair in combinations(names, 2):
        sides = draw(st.sampled_from((0, 1, 2, 2)))
        for mine, theirs in (pair, pair[::-1])[:sides]:
            peering = {
                "name": f"{mine}-{theirs}",
                "network": theirs,
                "exportCustomRoutes": draw(st.booleans()),
                "importCustomRoutes": draw(st.booleans()),
            }
            networks[mine].setdefault("peerings", []).append(peering)
    return [*networks.values()]


@st.composite
def _machines(draw: st.DrawFn, network: str) -> list[Data]:
    """One to three instances."""
    return [
        {
            "name": f"{network}{index}",
            "networkInterfaces": [
                {"subnetwork": network, **({"accessConfigs": [{}]} if draw(st.integers(0, 2)) == 0 else {})}
            ],
            "canIpForward": draw(st.integers(0, 2)) == 0,
            "tags": {"items": draw(st.lists(st.sampled_from(TAGS), unique=True))},
            "serviceAccounts": [{"email": ACCOUNT}] if draw(st.integers(0, 3)) == 0 else [],
            "status": draw(st.sampled_from(("RUNNING",) * 7 + ("TERMINATED",))),
        }
        for index in range(draw(st.integers(1, 3)))
    ]


@st.composite
def _rules(draw: st.DrawFn, tags: Sequence[str]) -> Data:
    """A firewall rule."""
    tagged = st.lists(st.sampled_from(tags), min_size=1, max_size=2, unique=True)
    ranges = st.lists(st.sampled_from(RANGES), min_size=1, max_size=3, unique=True)
    inbound = draw(st.integers(0, 2)) > 0
    rule: Data = {
        "direction": "INGRESS" if inbound else "EGRESS",
        "priority": draw(st.sampled_from(PRIORITIES)),
        draw(st.sampled_from(("allowed", "allowed", "denied") if inbound else ("allowed", "denied"))): draw(
            st.sampled_from(SPECS)
        ),
        "disabled": draw(st.integers(0, 7)) == 0,
        "logConfig": {"enable": draw(st.integers(0, 4)) == 0},
    }
    kinds = draw(st.sampled_from(("ranges", "tags", "accounts", "both", "none")))
    if kinds in {"ranges", "both"}:
        rule["sourceRanges" if inbound else "destinationRanges"] = draw(ranges)
    if inbound and kinds in {"tags", "both"}:
        rule["sourceTags"] = draw(tagged)
    if inbound and kinds == "accounts":
        rule["sourceServiceAccounts"] = [ACCOUNT]
    target = draw(st.sampled_from(("all", "all", "tags", "accounts")))
    if target == "tags" and kinds != "accounts":
        rule["targetTags"] = draw(tagged)
    if target == "accounts" and "sourceTags" not in rule:
        rule["targetServiceAccounts"] = [ACCOUNT]
    if draw(st.integers(0, 5)) == 0:  # the other end too (behaviour 4.1.13)
        rule["destinationRanges" if inbound else "sourceRanges"] = draw(ranges)
    return rule


@st.composite
def _routes(draw: st.DrawFn, machines: Sequence[Data], tags: Sequence[str]) -> Data:
    """A static route, for some senders or for all."""
    hops = (
        {"nextHopGateway": "default-internet-gateway"},
        {"nextHopInstance": draw(st.sampled_from(machines))["name"]},
        {"nextHopIp": draw(st.sampled_from(("10.0.0.2", "10.1.0.2", "10.0.0.99")))},
    )
    return {
        "destRange": draw(st.sampled_from(DESTINATIONS)),
        "priority": draw(st.sampled_from((0, 100, 1000, 1000, 65535))),
        "tags": draw(st.lists(st.sampled_from(tags), max_size=2, unique=True)) if draw(st.booleans()) else [],
        **draw(st.sampled_from(hops)),
    }


@st.composite
def _into(draw: st.DrawFn, tunnel: str, tags: Sequence[str]) -> Data:
    """A static route into a tunnel."""
    return {
        "destRange": draw(st.sampled_from(("192.168.0.0/16", *SITES, *SITES, "192.168.0.0/25", "203.0.113.0/24"))),
        "priority": draw(st.sampled_from((100, 1000, 1000))),
        "tags": draw(st.sampled_from(([], [], [tags[0]]))),
        "nextHopVpnTunnel": tunnel,
    }


@st.composite
def _connectors(draw: st.DrawFn, index: int, networks: st.SearchStrategy[str], subnetworks: list[Data]) -> Data:
    """A connector in a hidden subnet, or in one that was made for it, which then is one of `subnetworks`."""
    cidr = f"10.{8 + index}.0.0/28"
    if draw(st.booleans()):
        return {"name": f"c{index}", "network": draw(networks), "ipCidrRange": cidr}
    subnet = {"name": f"for-c{index}", "network": draw(networks), "ipCidrRange": cidr}
    subnetworks.append({**subnet, "privateIpGoogleAccess": draw(st.booleans())})
    return {"name": f"c{index}", "subnet": {"name": subnet["name"]}}


@st.composite
def _routers(draw: st.DrawFn, network: str) -> list[Data]:
    """No Cloud NAT, one for all subnets, or one for the named subnet, which leaves a connector's out."""
    kind = draw(st.sampled_from(("none", "all", "named")))
    if kind == "none":
        return []
    ports: Sequence[Data] = (
        {},
        {"minPortsPerVm": 4096},
        {"minPortsPerVm": 32768},
        {"enableDynamicPortAllocation": True},
    )
    nat: Data = {"name": f"nat-{network}", **draw(st.sampled_from(ports))}
    if kind == "named":
        nat |= {
            "sourceSubnetworkIpRangesToNat": "LIST_OF_SUBNETWORKS",
            "subnetworks": [{"name": network}],
        }
    return [{"name": f"router-{network}", "network": network, "nats": [nat]}]


@st.composite
def _direct(draw: st.DrawFn, names: Sequence[str]) -> list[Data]:
    """Up to three services with Direct VPC egress."""
    kinds = st.tuples(
        st.sampled_from(names),
        st.sampled_from(("PRIVATE_RANGES_ONLY", "ALL_TRAFFIC")),
        st.lists(st.sampled_from(TAGS), unique=True),
    )
    return [
        _service(f"direct{index}", {"networkInterfaces": [{"network": network, "tags": tags}], "egress": egress})
        for index, (network, egress, tags) in enumerate(draw(st.lists(kinds, max_size=3)))
    ]


@st.composite
def _flexible(draw: st.DrawFn, names: Sequence[str]) -> list[Data]:
    """Up to two versions in the flexible environment, with a tag of their own or another."""
    places = draw(st.lists(st.tuples(st.sampled_from(names), st.sampled_from((None, *TAGS))), max_size=2))
    return [
        {
            "name": f"apps/p/services/flexible{index}/versions/v1",
            "env": "flexible",
            "deployment": {"zip": {"sourceUrl": "."}},
            "network": {"name": network, "subnetworkName": network, **({"instanceTag": tag} if tag else {})},
        }
        for index, (network, tag) in enumerate(places)
    ]


@st.composite
def _redis(draw: st.DrawFn, names: Sequence[str]) -> Data:
    """One or two Redis instances, and the private connections that they need."""
    kinds = st.tuples(st.sampled_from(names), st.booleans(), st.booleans())
    instances = [
        {
            "name": f"cache{index}",
            "authorizedNetwork": network,
            "connectMode": "PRIVATE_SERVICE_ACCESS" if private else "DIRECT_PEERING",
            "transitEncryptionMode": "SERVER_AUTHENTICATION" if secure else "DISABLED",
        }
        for index, (network, private, secure) in enumerate(draw(st.lists(kinds, min_size=1, max_size=2)))
    ]
    private = {one["authorizedNetwork"] for one in instances if one["connectMode"] == "PRIVATE_SERVICE_ACCESS"}
    connections = [
        {
            "network": name,
            "reservedPeeringRanges": [f"services-{name}"],
            "exportCustomRoutes": draw(st.booleans()),
            "importCustomRoutes": draw(st.booleans()),
        }
        for name in sorted(private)
    ]
    return {"redis": {"instances": instances}, "servicenetworking": {"connections": connections}}


def _allocated(names: Sequence[str]) -> list[Data]:
    """A range for services in each network."""
    return [
        {"name": f"services-{name}", "network": name, "address": f"10.6{index}.0.0", "prefixLength": 24}
        for index, name in enumerate(names)
    ]


def _service(name: str, access: Data) -> Data:
    return {"name": name, "template": {"containers": [{}], "vpcAccess": access}}


def _services(connectors: Sequence[Data]) -> Iterator[Data]:
    """For each connector a service with each egress setting, and one without a connector."""
    for connector in connectors:
        for egress in ("PRIVATE_RANGES_ONLY", "ALL_TRAFFIC"):
            access = {"connector": connector["name"], "egress": egress}
            yield _service(f"{egress.split('_')[0].lower()}-{connector['name']}", access)
    if connectors:
        yield {"name": "alone", "template": {"containers": [{}]}}
