"""Names as programs inside ask for them: of VMs, of services with and without a connector, of two networks.

Both networks have the same addresses, so an answer that took the wrong way would be seen.
"""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from testbed.fabric.dns import files
from testbed.fabric.dns.zones import RecordSet, View, Zone
from testbed.fabric.naming import host_name
from testbed.model.managed.dns_records import canonical, is_data
from tests.e2e.program import Program
from tests.e2e.rest import Rest
from tests.e2e.small import program, small
from tests.sample import SEED, size
from tests.waiting import PATIENCE, eventually

DOMAIN = "c.small.internal"
ZONES = "dns/v1/projects/small/managedZones"
PUBLIC = ["203.0.113.1"]
VIPS = sorted(f"199.36.153.{last}" for last in range(8, 12))


def topology(name: str) -> dict[str, Any]:
    """Two networks of the same ranges; services with either egress setting, and one without a connector."""
    made = small(name)
    compute = made["compute"]
    compute["networks"].append({"name": "other"})
    compute["subnetworks"].append({"name": "other-us", "network": "other", "ipCidrRange": "10.128.0.0/20"})
    compute["firewalls"] = [
        {
            "name": "nothing",
            "network": "vpc",
            "direction": "EGRESS",
            "priority": 0,
            "denied": [{"IPProtocol": "all"}],
            "targetTags": ["shut"],
        }
    ]
    compute["instances"] = [
        {
            "name": "vm",
            "networkInterfaces": [{"subnetwork": "us", "networkIP": "10.128.0.2"}],
            "tags": {"items": ["shut"]},
        },
        {
            "name": "vm-b",
            "zone": "us-central1-b",
            "networkInterfaces": [{"subnetwork": "us", "networkIP": "10.128.0.3"}],
        },
        {"name": "stranger", "networkInterfaces": [{"subnetwork": "other-us", "networkIP": "10.128.0.2"}]},
    ]
    (private,) = made["run"]["services"]
    container = private["template"]["containers"]
    made["run"]["services"] = [
        private,
        {
            **private,
            "name": "everything",
            "template": {"containers": container, "vpcAccess": {"connector": "c1", "egress": "all-traffic"}},
        },
        {**private, "name": "alone", "template": {"containers": container}},
    ]
    made["dns"] = zones()
    return made


def zones() -> dict[str, Any]:
    """Zones of the network `vpc`, which `other` sees by peering; in `other`, Google's APIs are at the private VIPs."""

    def private(name: str, dns_name: str, network: str, **more: Any) -> dict[str, Any]:
        seen = {"networks": [{"networkUrl": network}]}
        return {"name": name, "dnsName": dns_name, "visibility": "private", "privateVisibilityConfig": seen, **more}

    def record(zone: str, name: str, kind: str, *data: str) -> dict[str, Any]:
        return {"managedZone": zone, "name": name, "type": kind, "ttl": 60, "rrdatas": [*data]}

    peering = {"targetNetwork": {"networkUrl": "vpc"}}
    return {
        "managedZones": [
            private("corp", "corp.example.", "vpc"),
            private("peer", "corp.example.", "other", peeringConfig=peering),
            private("apis", "googleapis.com.", "other"),
            private("reverse", "0.128.10.in-addr.arpa.", "vpc", reverseLookupConfig={}),
            private("pointers", "128.10.in-addr.arpa.", "other"),
            {"name": "public", "dnsName": "public.example."},
        ],
        "resourceRecordSets": [
            record("corp", "db.corp.example.", "A", "10.128.0.9", "10.128.0.8"),
            record("corp", "alias.corp.example.", "CNAME", "db.corp.example."),
            record("corp", "six.corp.example.", "AAAA", "2001:db8::1"),
            record("corp", "*.apps.corp.example.", "A", "10.128.0.7"),
            record("corp", "corp.example.", "TXT", '"a; \\"text\\""'),
            record("apis", "*.googleapis.com.", "CNAME", "private.googleapis.com."),
            record("apis", "private.googleapis.com.", "A", *VIPS),
            record("pointers", "2.0.128.10.in-addr.arpa.", "PTR", "mine.example."),
            record("public", "www.public.example.", "A", "203.0.113.9"),
        ],
    }


@pytest.fixture(scope="module")
def rest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rest]:
    with program(tmp_path_factory.mktemp("dns"), "dns") as made:
        yield Rest.up(made, topology(made.name))


@pytest.fixture(scope="module")
def bed(rest: Rest) -> Program:
    return rest.bed


_ASK = """
import json, socket, sys
def ask(name):
    try:
        return [socket.gethostbyaddr(name)[0]] if name[0].isdigit() else sorted(socket.gethostbyname_ex(name)[2])
    except OSError:
        return []
print(json.dumps([ask(name) for name in sys.argv[1:]]))
"""


_ASK_FOR_IPV6 = """
import json, socket, sys
def ask(name):
    try:
        return sorted({info[4][0] for info in socket.getaddrinfo(name, 80, socket.AF_INET6)})
    except socket.gaierror as error:
        return {socket.EAI_NODATA: "no data", socket.EAI_NONAME: "no such name"}[error.errno]
print(json.dumps([ask(name) for name in sys.argv[1:]]))
"""


_AGAIN = """
import json, os, socket, sys, time
print("begun", flush=True)
expected, asked, failed = sorted(socket.gethostbyname_ex(sys.argv[1])[2]), 0, []
while not os.path.exists("/tmp/enough"):
    asked += 1
    time.sleep(0.01)
    try:
        if (answer := sorted(socket.gethostbyname_ex(sys.argv[1])[2])) != expected:
            failed.append(answer)
    except OSError as error:
        failed.append(str(error))
print(json.dumps({"asked": asked, "failed": failed}))
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
        ["10.128.0.3"],
        ["10.128.0.3"],
        ["10.128.0.3"],
        [zonal],
        [],
    ]


@pytest.mark.behaviour("4.7.2")
def test_each_network_sees_its_own_names_only(bed: Program) -> None:
    names = [f"vm.{DOMAIN}", f"stranger.{DOMAIN}", "10.128.0.2"]
    assert found(bed, "vm", *names) == [["10.128.0.2"], [], [f"vm.us-central1-a.{DOMAIN}"]]
    assert found(bed, "stranger", *names) == [[], ["10.128.0.2"], ["mine.example"]]  # a zone of its own goes before


@pytest.mark.behaviour("3.4.1", "3.4.2", "3.4.3")
def test_a_service_sees_the_names_of_its_connectors_network(bed: Program) -> None:
    names = [f"vm-b.us-central1-b.{DOMAIN}", f"stranger.{DOMAIN}"]
    for node in ("relay", "everything"):
        assert found(bed, node, *names) == [["10.128.0.3"], []], node
    assert found(bed, "alone", *names) == [[], []]


@pytest.mark.behaviour("3.2.5", "4.8.2")
def test_googles_names_are_public_for_everybody(bed: Program) -> None:
    for node in ("vm", "relay", "everything", "alone"):
        names = ["storage.googleapis.com", "hello-abc.a.run.app", "private.googleapis.com"]
        assert found(bed, node, *names) == [PUBLIC, PUBLIC, VIPS], node


@pytest.mark.behaviour("2.6.7")
def test_googles_names_have_no_ipv6_address_and_the_users_may(bed: Program) -> None:
    names = ["storage.googleapis.com", "hello-abc.a.run.app", "hello.cloudfunctions.net", "six.corp.example"]
    for node in ("vm", "relay", "everything"):
        answers = json.loads(bed.execute(node, "python3", "-c", _ASK_FOR_IPV6, *names).stdout)
        assert answers == ["no data", "no data", "no data", ["2001:db8::1"]], node
    assert found(bed, "relay", *names[:3]) == [PUBLIC] * 3


@pytest.mark.behaviour("3.2.5", "4.8.2")
def test_a_private_zone_maps_googles_names_to_the_private_addresses(bed: Program) -> None:
    assert found(bed, "stranger", "storage.googleapis.com", "hello-abc.a.run.app") == [VIPS, PUBLIC]


@pytest.mark.behaviour("3.4.1", "3.4.3")
def test_private_zones_are_seen_by_their_networks_and_peering_zones(bed: Program) -> None:
    names = ["db.corp.example", "alias.corp.example", "a.b.apps.corp.example", "none.corp.example"]
    known = [["10.128.0.8", "10.128.0.9"], ["10.128.0.8", "10.128.0.9"], ["10.128.0.7"], []]
    for node in ("vm", "relay", "everything", "stranger"):  # the last one by peering
        assert found(bed, node, *names) == known, node
    assert found(bed, "alone", *names, "www.public.example") == [[], [], [], [], ["203.0.113.9"]]


@pytest.mark.behaviour("3.4.1")
def test_changes_are_served_when_they_are_done_and_no_answer_fails_meanwhile(rest: Rest) -> None:
    """Names that do not change are asked for again and again, also by peering, while others change."""
    asking = {
        node: subprocess.Popen(
            rest.bed.command("exec", node, "python3", "-c", _AGAIN, name),
            env=rest.bed.variables(),
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )
        for node, name in (("vm-b", "db.corp.example"), ("stranger", "db.corp.example"), ("relay", f"vm-b.{DOMAIN}"))
    }
    for process in asking.values():
        assert process.stdout
        assert process.stdout.readline() == "begun\n"
    new = {"name": "new.corp.example.", "type": "A", "ttl": 60, "rrdatas": ["10.128.0.20"]}
    for last in range(20, 23):
        changed = {**new, "rrdatas": [f"10.128.0.{last}"]}
        body = {"additions": [changed], "deletions": [new] if last > 20 else []}
        new = changed
        _until_done(rest, rest.call("POST", f"{ZONES}/corp/changes", body))
        assert found(rest.bed, "vm", "new.corp.example") == [[f"10.128.0.{last}"]]
        assert found(rest.bed, "stranger", "new.corp.example") == [[f"10.128.0.{last}"]]
    for node, process in asking.items():
        rest.bed.execute(node, "touch", "/tmp/enough")  # noqa: S108 - in the node
        said, _ = process.communicate(timeout=PATIENCE)
        assert json.loads(said)["failed"] == [], node
        assert json.loads(said)["asked"] > 20


@pytest.mark.behaviour("3.4.1")
def test_a_zone_made_by_the_api_is_served_until_it_is_deleted(rest: Rest) -> None:
    network = "https://www.googleapis.com/compute/v1/projects/small/global/networks/vpc"
    made = rest.call(
        "POST",
        ZONES,
        {
            "name": "api",
            "dnsName": "api.example.",
            "description": "",
            "visibility": "private",
            "privateVisibilityConfig": {"networks": [{"networkUrl": network}]},
        },
    )
    assert made["name"] == "api"
    record = {"name": "www.api.example.", "type": "A", "ttl": 5, "rrdatas": ["10.128.0.3"]}
    _until_done(rest, rest.call("POST", f"{ZONES}/api/changes", {"additions": [record]}))
    assert found(rest.bed, "vm", "www.api.example") == [["10.128.0.3"]]
    _until_done(rest, rest.call("POST", f"{ZONES}/api/changes", {"deletions": [record]}))
    assert found(rest.bed, "vm", "www.api.example") == [[]]
    assert rest.call("DELETE", f"{ZONES}/api") == {}


def _until_done(rest: Rest, change: dict[str, Any]) -> None:
    """Wait until a change is done, as clients do."""
    zone = change.get("additions", change.get("deletions", []))[0]["name"].split(".")[-3]
    eventually(lambda: rest.call("GET", f"{ZONES}/{zone}/changes/{change['id']}")["status"] == "done", "done")


def odd_data(chance: random.Random) -> tuple[str, str]:
    """Data of a record as somebody may write it who makes mistakes."""
    kind = chance.choice(["TXT", "SPF", "CAA", "MX", "SRV", "A", "AAAA", "CNAME"])
    parts = (*r'""\;() =.', "\t", "  ", "a", "b.", "0", "255", "256", "999", r"\065", r"\300", "issue")
    return kind, {"CAA": "0 issue "}.get(kind, "") + "".join(chance.choices(parts, k=chance.randrange(1, 8)))


@pytest.mark.sampled
def test_the_name_server_takes_all_data_that_is_accepted(bed: Program) -> None:
    chance = random.Random(SEED)  # noqa: S311 - a sample
    tried = {odd_data(chance) for _ in range(size(20_000, 200_000))}
    records = tuple(
        RecordSet(f"r{number}.odd.example.", kind, (canonical(kind, text),))
        for number, (kind, text) in enumerate(one for one in sorted(tried) if is_data(*one))
    )
    assert len(records) > 100
    view = View("odd", ("35.199.192.2",), (Zone("odd.example.", records),))
    (content,) = (text for path, text in files.written([view]).items() if "/zones/" in path)
    read = "cat > /tmp/odd; named-checkzone -i none -k ignore -m ignore -M ignore -S ignore odd.example. /tmp/odd"
    checked = subprocess.run(
        ["docker", "exec", "-i", host_name(bed.name, "dns"), "sh", "-c", read],
        input=content,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout


def test_long_answers_come_by_tcp(bed: Program) -> None:
    ask = "import socket;c=socket.create_connection(('169.254.169.254',53));c.close();print('connected')"
    for node in ("vm", "relay", "alone"):
        assert bed.execute(node, "python3", "-c", ask).stdout.strip() == "connected", node
