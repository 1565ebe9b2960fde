"""The capacity of a connector of the example, changed while it runs: what arrives, and what is said of the rest."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator
from contextlib import closing
from functools import cache

import pytest
import yaml

from testbed.errors import InvalidArgument, NotFound
from testbed.fabric.naming import host_name
from testbed.kernel import namespace
from testbed.nodes.engine import connect
from tests.e2e.program import Program
from tests.e2e.rest import Rest
from tests.waiting import QUIET

pytestmark = [pytest.mark.needs("sch_tbf", "sch_htb", "xt_CLASSIFY", "xt_hashlimit", "xt_connlimit")]

VM = ("10.128.0.2", 7000)
SIZE, HEADERS = 1460, 28
SENT = 400
"""Datagrams: more than a slow instance keeps, fewer than one of nominal capacity does."""


@pytest.fixture
def capable(demo: Program) -> Iterator[Program]:
    """The example, whose capacities are taken back at the end."""
    yield demo
    demo.run("configure", "--capacity", "default")
    demo.run("configure", "--capacity", "default", "--connector", "c1")


@cache
def place(container: str) -> str:
    """The namespace of a container."""
    with closing(connect()) as client:
        return f"/proc/{client.containers.get(container).attrs['State']['Pid']}/ns/net"


def socket_of(demo: Program, node: str) -> socket.socket:
    made = namespace.socket_in(place(host_name(demo.name, node)), socket.AF_INET, socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, 33, 4 << 20)  # SO_RCVBUFFORCE
    return made


def arrived(demo: Program) -> int:
    """How many of the datagrams arrive at the VM that a runtime sends at once, as one flow."""
    with socket_of(demo, "hello-run") as sender, socket_of(demo, "vm-us") as receiver:
        receiver.bind(VM)
        sender.connect(VM)
        for _ in range(SENT):
            sender.send(bytes(SIZE - HEADERS))
        return received(receiver)


def received(receiver: socket.socket) -> int:
    """How many datagrams come until there is silence."""
    found = 0
    while select.select([receiver], [], [], QUIET)[0]:
        receiver.recv(1 << 11)
        found += 1
    return found


def dropped(demo: Program) -> dict[str, int]:
    """What all instances say that they have dropped."""
    total: dict[str, int] = {}
    for row in demo.json("status")["instances"]:
        for cause, count in row["drops"].items():
            total[cause] = total.get(cause, 0) + count
    return total


def capacity(demo: Program) -> str:
    (row,) = demo.json("status")["connectors"]
    return str(row["capacity"])


@pytest.mark.behaviour("1.4.1")
def test_a_connector_gets_another_capacity_and_has_it_taken_back(capable: Program) -> None:
    assert capacity(capable) == "nominal"
    assert arrived(capable) == SENT

    said = capable.run("configure", "--connector", "c1", "--capacity", "megabitsPerSecond=2")
    assert said.stdout == "connector c1: capacity megabitsPerSecond=2\n"
    came = arrived(capable)
    assert 100 < came < SENT
    assert dropped(capable)["connector-rate-to-network"] == SENT - came
    assert f"rate to network {SENT - came}" in capable.run("status").stdout
    (row,) = (one for one in capable.json("drops") if one["rule"] == "connector-rate-to-network")
    assert (row["packets"], row["cause"]) == (SENT - came, "VPC_CONNECTOR_SERVERLESS_TRAFFIC_BLOCKED")
    exported = yaml.safe_load(capable.run("export").stdout)
    assert exported["vpcaccess"]["connectors"][0]["capacity"] == {"megabitsPerSecond": 2}

    assert capable.json("configure", "--connector", "c1", "--capacity", "default")["capacities"] == {"c1": "nominal"}
    assert arrived(capable) == SENT
    assert sum(dropped(capable).values()) == SENT - came  # no more than before


@pytest.mark.behaviour("1.4.4")
def test_connections_through_all_connectors_are_limited(capable: Program) -> None:
    capable.run("configure", "--capacity", "newConnectionsPerSecond=1")
    with socket_of(capable, "vm-us") as receiver:
        receiver.bind(VM)
        for _ in range(SENT):
            with socket_of(capable, "hello-run") as sender:
                sender.sendto(b"?", VM)
        came = received(receiver)
    assert came < SENT
    assert dropped(capable)["connector-new-connections"] == SENT - came

    capable.run("configure", "--capacity", "off")
    assert capacity(capable) == "off"
    assert arrived(capable) == SENT


def test_an_api_does_not_show_a_capacity(capable: Program) -> None:
    capable.run("configure", "--connector", "c1", "--capacity", "burst")
    shown = Rest.of(capable).call("GET", "v1/projects/demo-project/locations/us-central1/connectors/c1")
    assert shown["machineType"] == "e2-micro"
    assert "capacity" not in shown


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        (("--capacity", "fast"), InvalidArgument, "capacity = 'fast': a capacity is nominal, burst, off, or a mapping"),
        (("--capacity", "mbps=5"), InvalidArgument, "capacity.mbps = 5: unknown key"),
        (("--capacity", "connections=few"), InvalidArgument, "write KEY=NUMBER"),
        (("--capacity", "off", "--connector", "c9"), NotFound, "connector 'c9': not found (connectors: c1)"),
    ],
)
def test_what_is_no_capacity_is_refused(
    capable: Program, arguments: tuple[str, ...], error: type[InvalidArgument | NotFound], said: str
) -> None:
    refused = capable.run("configure", *arguments, check=False)
    assert refused.returncode == error.exit_status
    assert said in refused.stderr
    assert capacity(capable) == "nominal"
