"""The link of a VLAN attachment where the kernel has VLANs: only what has the attachment's tag passes (behaviour 4.12).

The topology is the example's; nothing speaks BGP here.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import yaml

from testbed.kernel import namespace
from testbed.kernel.apply import apply, difference
from testbed.model.core.resource import Defaults
from testbed.model.topology import Topology
from testbed.paths import EXAMPLES
from tests.kernel.built import Built, built
from tests.kernel.spaces import answering, ask, ip, sh
from tests.waiting import PATIENCE, eventually

pytestmark = pytest.mark.needs("vlan")

CLOUD, SITE = "attachment", "office-router"
PEER = "169.254.10.2"
PORT = 7000


def topology(tag: int = 100) -> Topology:
    data: dict[str, Any] = yaml.safe_load((EXAMPLES / "interconnect.yaml").read_text())
    data["compute"]["interconnectAttachments"][0]["vlanTag8021q"] = tag
    return Topology.model_validate(data, context=Defaults("example", "us-central1", "us-central1-a"))


@pytest.fixture
def bed() -> Iterator[Built]:
    with built(topology(), vlans=True) as made:
        yield made


def talk(bed: Built) -> bool:
    """A connection from the cloud's end to the site's and back works."""
    with (
        answering(bed.paths[SITE], (PEER, PORT), SITE),
        namespace.connect(bed.paths[CLOUD], (PEER, PORT), PATIENCE) as connection,
    ):
        return ask(connection) == SITE


def receiver(bed: Built) -> socket.socket:
    """A socket of UDP at the site's end."""
    made = bed.socket(SITE, socket.SOCK_DGRAM)
    made.bind((PEER, PORT))
    return made


def send(bed: Built, text: bytes, device: str = "vlan") -> None:
    """Send a datagram from the cloud's end by this device."""
    with bed.socket(CLOUD, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
        sender.sendto(text, (PEER, PORT))


def tags(bed: Built) -> list[tuple[str, str, int]]:
    """Of both ends: the parent, the protocol and the tag."""
    found = [ip(bed.paths[space], "link show dev vlan")[0] for space in (CLOUD, SITE)]
    data = [(one["link"], one["linkinfo"]["info_data"]) for one in found]
    return [(parent, info["protocol"], info["id"]) for parent, info in data]


@pytest.mark.behaviour("4.12.1", "4.12.3")
def test_both_ends_have_the_tag_and_talk(bed: Built) -> None:
    assert tags(bed) == [("interconnect", "802.1Q", 100)] * 2
    assert talk(bed)


def test_the_second_time_there_is_nothing_to_do(bed: Built) -> None:
    assert difference(bed.plan, bed.paths) == []
    assert apply(bed.plan, bed.paths) == []


@pytest.mark.behaviour("4.12.3")
def test_a_packet_without_a_tag_does_not_pass(bed: Built) -> None:
    mac = ip(bed.paths[SITE], "link show dev interconnect")[0]["address"]
    sh(bed.paths[CLOUD], f"ip neighbour replace {PEER} lladdr {mac} dev interconnect nud permanent")
    with receiver(bed) as inbox:
        send(bed, b"untagged", "interconnect")
        eventually(lambda: bed.packets(SITE, "untagged") == 1, "a packet without a tag has come")
        send(bed, b"tagged")
        assert inbox.recv(64) == b"tagged"


@pytest.mark.behaviour("4.12.3")
def test_a_packet_with_another_tag_does_not_pass(bed: Built) -> None:
    spaces = (
        replace(space, vlans=frozenset(replace(vlan, tag=101) for vlan in space.vlans)) if space.name == SITE else space
        for space in bed.plan.namespaces
    )
    with receiver(bed) as inbox:
        apply(replace(bed.plan, namespaces=tuple(spaces)), bed.paths)
        assert [tag for *_, tag in tags(bed)] == [100, 101]
        send(bed, b"100 to 101")
        apply(bed.plan, bed.paths)
        send(bed, b"100 to 100")
        assert inbox.recv(64) == b"100 to 100"


def test_a_new_tag_is_that_of_both_ends(bed: Built) -> None:
    bed.change(topology(4093))

    assert [tag for *_, tag in tags(bed)] == [4093, 4093]
    assert difference(bed.plan, bed.paths) == []
    assert talk(bed)


@pytest.mark.parametrize(
    "command",
    [
        "ip link delete vlan",
        "ip link delete interconnect",
        "ip link set vlan down",
        "ip link set interconnect down",
        "ip link set interconnect mtu 1300",
    ],
)
def test_an_accident_is_repaired(bed: Built, command: str) -> None:
    sh(bed.paths[CLOUD], command)

    apply(bed.plan, bed.paths)

    assert difference(bed.plan, bed.paths) == []
    assert talk(bed)
