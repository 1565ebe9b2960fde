"""What a connector carries and to whom: protocols, IP versions, ranges, and the ports of its own two rules."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from testbed.kernel import namespace
from tests.kernel.built import Built, built, instance
from tests.kernel.spaces import answering, ask
from tests.unit.topologies import Data, compute, connector, service, subnet, topology, vm
from tests.waiting import PATIENCE, QUIET, patience

ALLOW = {"name": "all", "network": "vpc", "priority": 0, "allowed": "all"}
PROTOCOLS = {"ipip": 4, "gre": 47, "esp": 50, "ah": 51, "sctp": 132}
PAYLOAD = bytes.fromhex("00000800") + bytes(40)


@contextmanager
def network(*services: Data, rules: list[Data] | None = None, cidr: str = "10.128.0.0/20") -> Iterator[Built]:
    given = topology(
        compute=compute(subnetworks=[subnet("us", cidr)], instances=[vm("a")], firewalls=rules or [ALLOW]),
        vpcaccess={"connectors": [connector()]},
        run={"services": [*services]},
    )
    with built(given) as net:
        yield net


def source(net: Built, sender: str, protocol: int) -> str | None:
    """Under which address a packet of a protocol, which should not, arrives at the VM; None if it does not."""
    with net.socket(sender, socket.SOCK_RAW, protocol) as out, net.socket("a", socket.SOCK_RAW, protocol) as into:
        out.sendto(PAYLOAD, (net.address(instance("a")), 0))
        into.settimeout(QUIET)
        with suppress(TimeoutError):
            _, (address, _) = into.recvfrom(2048)
            return str(address)
    return None


def reaches(net: Built, sender: str, *, within: float = PATIENCE) -> bool:
    address = net.address(instance("a"))
    with answering(net.paths["a"], ("", 80), "a"), net.socket(sender, socket.SOCK_STREAM) as client:
        client.settimeout(within)
        with suppress(OSError):
            client.connect((address, 80))
            return ask(client) == "a"
    return False


@pytest.mark.behaviour("3.7.2", "2.5.4")
@pytest.mark.parametrize("egress", ["PRIVATE_RANGES_ONLY", "ALL_TRAFFIC"])
def test_other_protocols_do_not_pass_a_connector_whatever_the_rules_say(egress: str) -> None:
    with network(service("web", egress=egress)) as net:
        assert reaches(net, "web")
        assert {name for name, number in PROTOCOLS.items() if source(net, "web", number)} == set()


@pytest.mark.behaviour("2.5.4")
@pytest.mark.parametrize("protocol", ["ah", "all", "esp", "icmp", "ipip", "sctp", "tcp"])
def test_a_rule_against_a_connector_may_name_any_protocol(protocol: str) -> None:
    """Of which only those that it carries make a difference."""
    deny = {"name": "no", "network": "vpc", "denied": protocol, "sourceTags": ["vpc-connector"], "priority": 999}
    with network(service("web"), rules=[deny]) as net:
        passes = protocol not in {"all", "tcp"}
        assert reaches(net, "web", within=patience(passes)) == passes


@pytest.mark.behaviour("2.6.5")
def test_nothing_of_a_connector_has_ipv6() -> None:
    with network(service("web")) as net:
        (one, *_) = net.running.instances
        for name in ("web", one.name, "a"):
            with namespace.socket_in(net.paths[name], socket.AF_INET6, socket.SOCK_STREAM) as client:
                assert client.connect_ex(("2600:1901::1", 80)) in {errno.ENETUNREACH, errno.EADDRNOTAVAIL}


@pytest.mark.behaviour("3.2.3")
def test_public_addresses_used_privately_are_reached_with_all_traffic_only() -> None:
    services = [service("private"), service("everything", egress="ALL_TRAFFIC")]
    with network(*services, cidr="44.10.0.0/24") as net:
        assert net.address(instance("a")).startswith("44.10.0.")
        assert not reaches(net, "private", within=QUIET)
        assert reaches(net, "everything")


@pytest.mark.behaviour("2.2.3", "2.2.2")
def test_the_two_egress_rules_of_one_priority_never_meet() -> None:
    """An instance sends to a tunnel's ports at the runtimes and to no others: each packet meets one rule."""
    with network(service("web")) as net:
        (one, *_) = net.running.instances
        outer = next(a for space in net.plan.namespaces for a in space.loopback if a.startswith("35.199.22"))
        with net.socket(one.name, socket.SOCK_DGRAM) as client:
            for port in (664, 666, 667, 1000):
                client.sendto(b"?", (outer.removesuffix("/32"), port))
        assert net.packets("vpc-vpc", "aet-uscentral1-c1-earfw") == 1
        assert net.packets("vpc-vpc", "aet-uscentral1-c1-egrfw") == 3
