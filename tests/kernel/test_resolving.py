"""The ways of queries to 169.254.169.254: what the name server is asked, at which of its addresses, and by whom.

In the place of BIND, sockets in the node `dns` say where a query came from and what it was sent to.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest

from testbed.fabric.allocation.addressing import inner_address
from testbed.fabric.allocation.keys import AddressKey
from testbed.kernel import namespace
from testbed.model.topology import Topology
from tests.kernel.built import Built, built
from tests.unit.topologies import Data, compute, connector, network, outer, service, subnet, topology, vm
from tests.waiting import PATIENCE, QUIET

RESOLVER = ("169.254.169.254", 53)
VPC, OTHER = "projects/p/global/networks/vpc", "projects/p/global/networks/other"
VM = "10.128.0.2"
SHUT = [
    {"name": f"shut-{name}", "network": name, "direction": "EGRESS", "priority": 0, "denied": [{"IPProtocol": "all"}]}
    for name in ("vpc", "other")
]


def direct(name: str, egress: str) -> Data:
    made = service(name, None)
    made["template"]["vpcAccess"] = {"networkInterfaces": [{"subnetwork": "us"}], "egress": egress}
    return made


def world() -> Topology:
    """Two networks with the same ranges, whose rules let nothing out; services in one of them, and in none."""
    return topology(
        compute=compute(
            networks=[network(), network("other")],
            subnetworks=[subnet(), subnet("other-us", network="other")],
            instances=[vm("a", address=VM), vm("b", "other-us", address=VM)],
            firewalls=SHUT,
        ),
        vpcaccess={"connectors": [connector()]},
        run={
            "services": [
                service("private"),
                service("everything", egress="ALL_TRAFFIC"),
                service("alone", None),
                direct("direct", "PRIVATE_RANGES_ONLY"),
                direct("direct-all", "ALL_TRAFFIC"),
            ]
        },
    )


@pytest.fixture(scope="module")
def bed() -> Iterator[Built]:
    with built(world()) as made, _server(made):
        yield made


@contextmanager
def _server(bed: Built) -> Iterator[None]:
    """Answer at each address of the node with that address and the asker's."""
    places = [VPC, OTHER, "us-central1"]
    with ExitStack() as stack:
        for address in (bed.running.address(AddressKey.name_server(place)) for place in places):
            for kind, answer in ((socket.SOCK_DGRAM, _datagrams), (socket.SOCK_STREAM, _connections)):
                one = stack.enter_context(namespace.socket_in(bed.paths["dns"], socket.AF_INET, kind))
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                one.bind((address, 53))
                if kind is socket.SOCK_STREAM:
                    one.listen()
                thread = threading.Thread(target=answer, args=(one, address))
                thread.start()
                stack.callback(thread.join)
                stack.callback(_shut, one)
        yield


def _shut(one: socket.socket) -> None:
    with suppress(OSError):  # one that is connected to nobody says so, and wakes its reader nevertheless
        one.shutdown(socket.SHUT_RDWR)


def _datagrams(one: socket.socket, address: str) -> None:
    with suppress(OSError):
        while True:
            query, asker = one.recvfrom(64)
            if not query:
                return
            one.sendto(f"{address} {asker[0]}".encode(), asker)


def _connections(one: socket.socket, address: str) -> None:
    with suppress(OSError):
        while True:
            connection, asker = one.accept()
            with connection:
                connection.sendall(f"{address} {asker[0]}".encode())


def asked(
    bed: Built, node: str, kind: socket.SocketKind, to: tuple[str, int] = RESOLVER, *, within: float = PATIENCE
) -> tuple[str, str]:
    """The server's address that a query came to, and the one that it came from."""
    with bed.socket(node, kind) as client:
        client.settimeout(within)
        client.connect(to)
        if kind is socket.SOCK_DGRAM:
            client.send(b"?")
        seen, asker = client.recv(64).decode().split()
    return seen, asker


@pytest.mark.behaviour("4.2.1", "3.4.2", "3.4.3")
@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_the_address_says_which_network_is_meant(bed: Built, kind: socket.SocketKind) -> None:
    """Whatever firewall and egress setting say."""
    vpc, other = (bed.running.address(AddressKey.name_server(place)) for place in (VPC, OTHER))
    assert asked(bed, "a", kind) == (vpc, VM)
    assert asked(bed, "b", kind) == (other, VM)
    of = world()
    for node in ("private", "everything", "direct", "direct-all"):
        assert asked(bed, node, kind) == (vpc, inner_address(outer(of, bed.running, node))), node
    region = bed.running.address(AddressKey.name_server("us-central1"))
    assert asked(bed, "alone", kind) == (region, inner_address(outer(of, bed.running, "alone")))


def test_nothing_else_of_the_server_can_be_reached(bed: Built) -> None:
    """Not even port 53 by the address itself: no client would be told by which view."""
    for node, place in (("a", VPC), ("everything", VPC), ("alone", "us-central1")):
        with pytest.raises(OSError):  # noqa: PT011 - no answer, or no way
            asked(bed, node, socket.SOCK_DGRAM, (bed.running.address(AddressKey.name_server(place)), 53), within=QUIET)
