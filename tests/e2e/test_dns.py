"""Names as programs inside ask for them: of VMs, of services with and without a connector, of two networks.

Both networks have the same addresses, so an answer that took the wrong way would be seen.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.program import Program
from tests.e2e.small import file, program, small

DOMAIN = "c.small.internal"
PUBLIC = ["203.0.113.1"]
VIPS = sorted(f"199.36.153.{last}" for last in range(8, 12))


def topology(name: str) -> dict[str, Any]:
    """Two networks of the same ranges; services with either egress setting, and one without a connector."""
    made = small(name)
    compute = made["compute"]
    compute["networks"].append({"name": "other"})
    compute["subnetworks"].append({"name": "other-us", "network": "other", "ipCidrRange": "10.128.0.0/20"})
    compute["firewalls"] = [{"name": "nothing", "network": "vpc", "direction": "EGRESS", "priority": 0,
                             "denied": [{"IPProtocol": "all"}], "targetTags": ["shut"]}]  # fmt: skip
    compute["instances"] = [
        {"name": "vm", "networkInterfaces": [{"subnetwork": "us", "networkIP": "10.128.0.2"}],
         "tags": {"items": ["shut"]}},
        {"name": "vm-b", "zone": "us-central1-b", "networkInterfaces": [
            {"subnetwork": "us", "networkIP": "10.128.0.3"}]},
        {"name": "stranger", "networkInterfaces": [{"subnetwork": "other-us", "networkIP": "10.128.0.2"}]},
    ]  # fmt: skip
    (private,) = made["run"]["services"]
    container = private["template"]["containers"]
    made["run"]["services"] = [
        private,
        {**private, "name": "everything",
         "template": {"containers": container, "vpcAccess": {"connector": "c1", "egress": "all-traffic"}}},
        {**private, "name": "alone", "template": {"containers": container}},
    ]  # fmt: skip
    return made


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    with program(tmp_path_factory.mktemp("dns"), "dns") as made:
        made.run("up", file(made, topology(made.name)))
        yield made


_ASK = """
import json, socket, sys
def ask(name):
    try:
        return [socket.gethostbyaddr(name)[0]] if name[0].isdigit() else sorted(socket.gethostbyname_ex(name)[2])
    except OSError:
        return []
print(json.dumps([ask(name) for name in sys.argv[1:]]))
"""


def found(bed: Program, node: str, *names: str) -> list[list[str]]:
    """What a program in a node gets for names, and for addresses, from the node's own resolver."""
    answers: list[list[str]] = json.loads(bed.execute(node, "python3", "-c", _ASK, *names).stdout)
    return answers


@pytest.mark.behaviour("4.7.2", "4.2.1")
def test_a_vm_resolves_the_names_of_its_network(bed: Program) -> None:
    """Whatever the firewall says: `vm` may send nothing."""
    zonal = f"vm-b.us-central1-b.{DOMAIN}"
    assert found(bed, "vm", zonal, f"vm-b.{DOMAIN}", "vm-b", "10.128.0.3", f"vm-b.us-central1-a.{DOMAIN}") == [
        ["10.128.0.3"], ["10.128.0.3"], ["10.128.0.3"], [zonal], [],
    ]  # fmt: skip


@pytest.mark.behaviour("4.7.2")
def test_each_network_sees_its_own_names_only(bed: Program) -> None:
    names = [f"vm.{DOMAIN}", f"stranger.{DOMAIN}", "10.128.0.2"]
    assert found(bed, "vm", *names) == [["10.128.0.2"], [], [f"vm.us-central1-a.{DOMAIN}"]]
    assert found(bed, "stranger", *names) == [[], ["10.128.0.2"], [f"stranger.us-central1-a.{DOMAIN}"]]


@pytest.mark.behaviour("3.4.1", "3.4.2", "3.4.3")
def test_a_service_sees_the_names_of_its_connectors_network(bed: Program) -> None:
    names = [f"vm-b.us-central1-b.{DOMAIN}", f"stranger.{DOMAIN}"]
    for node in ("relay", "everything"):
        assert found(bed, node, *names) == [["10.128.0.3"], []], node
    assert found(bed, "alone", *names) == [[], []]


@pytest.mark.behaviour("3.2.5", "4.8.2")
def test_googles_names_are_public_for_everybody(bed: Program) -> None:
    for node in ("vm", "stranger", "relay", "everything", "alone"):
        names = ["storage.googleapis.com", "hello-abc.a.run.app", "private.googleapis.com"]
        assert found(bed, node, *names) == [PUBLIC, PUBLIC, VIPS], node


def test_long_answers_come_by_tcp(bed: Program) -> None:
    ask = "import socket;c=socket.create_connection(('169.254.169.254',53),9);c.close();print('connected')"
    for node in ("vm", "relay", "alone"):
        assert bed.execute(node, "python3", "-c", ask).stdout.strip() == "connected", node
