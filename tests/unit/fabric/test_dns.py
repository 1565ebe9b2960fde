"""Views and zones as values, and what is written for the name server."""

from __future__ import annotations

import json

import pytest

from testbed.fabric.allocation.addressing import allocate
from testbed.fabric.allocation.allocations import Allocations
from testbed.fabric.allocation.keys import AddressKey
from testbed.fabric.dns import files, internal, views
from testbed.fabric.dns.zones import Forwarded, RecordSet, View, Zone, closest
from testbed.fabric.inventory import participants
from testbed.model.core.problem import Inconsistent
from testbed.model.managed.dns_records import is_data
from testbed.model.rules.consistency import check
from testbed.model.topology import Topology
from tests.unit.topologies import compute, network, plan, running, service, small, subnet, topology, vm

VPC = "projects/p/global/networks/vpc"


def view(of: Topology, name: str = "vpc") -> View:
    """What a network sees."""
    addresses, there = running(of).allocations.addresses, participants(of, running(of))
    return views.for_network(of, addresses, there, f"projects/p/global/networks/{name}")


def answers(seen: View, name: str, kind: str = "A") -> tuple[str, ...]:
    """The data of a record set, in the zone that answers for its name."""
    zone = closest(name, (zone.name for zone in seen.zones))
    records = next(one.records for one in seen.zones if one.name == zone)
    return next((one.data for one in records if (one.name, one.type) == (name, kind)), ())


def content(seen: View, zone: str) -> str:
    """A zone's file."""
    return next(text for text in files.written([seen]).values() if text.startswith(f"; {zone}\n"))


@pytest.mark.behaviour("4.7.2")
def test_a_vm_has_two_names_in_its_network_and_a_pointer() -> None:
    of = topology(
        compute=compute(
            networks=[network(), network("other")],
            subnetworks=[subnet(), subnet("o", network="other")],
            instances=[vm("a", address="10.128.0.9"), vm("off", status="TERMINATED")],
        )
    )
    seen, other = view(of), view(of, "other")
    for name in ("a.us-central1-a.c.p.internal.", "a.c.p.internal."):
        assert answers(seen, name) == ("10.128.0.9",)
        assert answers(other, name) == ()
    assert answers(seen, "9.0.128.10.in-addr.arpa.", "PTR") == ("a.us-central1-a.c.p.internal.",)
    assert answers(seen, "off.c.p.internal.") == ()


def test_pointers_are_in_the_zones_of_private_ranges_only() -> None:
    names = ("10.1.2.3", "172.16.0.1", "172.31.0.1", "192.168.0.1", "172.32.0.1", "8.8.8.8")
    records = [RecordSet(internal.reverse_name(name), "PTR", ("x.",)) for name in names]
    assert [zone.name for zone in internal.reverse_zones(records)] == [
        "10.in-addr.arpa.",
        "16.172.in-addr.arpa.",
        "31.172.in-addr.arpa.",
        "168.192.in-addr.arpa.",
    ]


def test_nodes_ask_the_name_server_if_they_are_googles() -> None:
    of = small(internet={"hosts": [{"name": "host", "address": "203.0.113.10"}]}, run={"services": [service("web")]})
    known = {node.name: node.search for node in plan(of).nodes}
    assert known["a"] == ("us-central1-a.c.p.internal", "c.p.internal", "google.internal")
    assert known["web"] == ("google.internal",)
    assert known["host"] is known["dns"] is known["front-end"] is None


def test_what_is_written_says_what_has_to_be_served() -> None:
    written = files.written([View("v", ("192.0.2.1", "192.0.2.2"), (Zone("."), Zone("a.example.")))])
    index = json.loads(written[f"{files.FOLDER}/index.json"])
    assert set(index["files"]) == written.keys() - {f"{files.FOLDER}/index.json"}
    assert [(one["address"], one["name"]) for one in index["serials"]] == [
        ("192.0.2.1", "."),
        ("192.0.2.2", "."),
        ("192.0.2.1", "a.example."),
        ("192.0.2.2", "a.example."),
    ]


def test_a_serial_number_changes_with_its_zone_only_and_that_of_the_root_always() -> None:
    def serials(*zones: Zone) -> dict[str, int]:
        written = files.written([View("v", ("192.0.2.1",), (Zone("."), *zones))])
        return {one["name"]: one["serial"] for one in json.loads(written[f"{files.FOLDER}/index.json"])["serials"]}

    a, b = Zone("a.", (RecordSet("a.", "A", ("192.0.2.3",)),)), Zone("b.")
    before, after = serials(a, b), serials(Zone("a."), b)
    assert before["b."] == after["b."]
    assert before["a."] != after["a."]
    assert len({one["."] for one in (before, after, serials(a))}) == 3


def test_without_a_network_or_a_service_there_is_no_name_server() -> None:
    assert not plan(topology(internet={"hosts": [{"name": "h", "address": "203.0.113.10"}]})).nodes[1:]
    assert [node.name for node in plan(topology(compute={"networks": [network()]})).nodes] == ["dns"]


def zone(name: str, dns_name: str, network: str | None = "vpc", **more: object) -> dict[str, object]:
    """A private zone of a network, or a public one."""
    seen = {"visibility": "private", "privateVisibilityConfig": {"networks": [{"networkUrl": network}]}}
    return {"name": name, "dnsName": dns_name, **(seen if network else {}), **more}


def record(zone: str, name: str, *data: str, kind: str = "A") -> dict[str, object]:
    return {"managedZone": zone, "name": name, "type": kind, "rrdatas": [*data]}


def networks(*zones: dict[str, object], records: list[dict[str, object]] | None = None) -> Topology:
    """Two networks, a VM in one of them, and zones."""
    return topology(
        compute=compute(
            networks=[network(), network("other")],
            subnetworks=[subnet(), subnet("o", network="other")],
            instances=[vm("a", address="10.128.0.9")],
        ),
        dns={"managedZones": [*zones], "resourceRecordSets": records or []},
    )


@pytest.mark.behaviour("3.4.1", "3.2.5")
def test_a_private_zone_is_seen_by_its_networks_before_a_public_one() -> None:
    of = networks(
        zone("mine", "googleapis.com."),
        zone("all", "example.", None),
        records=[record("mine", "*.googleapis.com.", "199.36.153.8"), record("all", "www.example.", "203.0.113.9")],
    )
    assert answers(view(of), "*.googleapis.com.") == ("199.36.153.8",)
    assert answers(view(of, "other"), "*.googleapis.com.") == ("203.0.113.1",)
    for seen in (view(of), view(of, "other"), views.for_nobody(of, ["192.0.2.1"])):
        assert answers(seen, "www.example.") == ("203.0.113.9",)


@pytest.mark.behaviour("3.4.3")
def test_what_is_asked_for_elsewhere_is_delegated_by_the_zone_above() -> None:
    forwarding = {"targetNameServers": [{"ipv4Address": "192.168.10.53"}, {"ipv4Address": "192.168.10.54"}]}
    peering = {"targetNetwork": {"networkUrl": "other"}}
    of = networks(
        zone("above", "example."),
        zone("down", "corp.example.", forwardingConfig=forwarding),
        zone("side", "peer.", peeringConfig=peering),
    )
    seen = view(of)
    there = allocate(of, Allocations()).addresses[AddressKey.name_server("projects/p/global/networks/other")]
    assert seen.forwarded == (
        Forwarded("corp.example.", ("192.168.10.53", "192.168.10.54")),
        Forwarded("peer.", (there,)),
    )
    assert "corp.example. 300 IN NS ns.corp.example.\n" in content(seen, "example.")
    assert "peer. 300 IN NS ns.peer.\n" in content(seen, "the root")


def test_a_peering_zone_of_a_network_that_is_not_there_has_no_names() -> None:
    peering = {"targetNetwork": {"networkUrl": "nosuch"}}
    seen = view(networks(zone("side", "peer.", peeringConfig=peering)))
    assert Zone("peer.") in seen.zones
    assert not seen.forwarded


def test_a_reverse_lookup_zone_has_the_pointers_of_vms_and_another_one_only_its_own() -> None:
    pointer = "9.0.128.10.in-addr.arpa."
    reverse = zone("r", "128.10.in-addr.arpa.", reverseLookupConfig={})
    assert answers(view(networks(reverse)), pointer, "PTR") == ("a.us-central1-a.c.p.internal.",)
    own = networks(zone("r", "128.10.in-addr.arpa."), records=[record("r", pointer, "mine.example.", kind="PTR")])
    assert answers(view(own), pointer, "PTR") == ("mine.example.",)


def test_soa_and_ns_are_the_servers_and_a_name_of_the_server_has_an_address() -> None:
    soa = record("z", "com.", "ns.com. me.com. 7 1 1 1 1", kind="SOA")
    text = content(view(networks(zone("z", "com."), records=[soa])), "com.")
    assert text.count(" SOA ") == 1
    assert " 7 1 1 1 1" not in text
    assert "ns-gcp-private.googledomains.com. 300 IN A 169.254.169.254\n" in text


@pytest.mark.parametrize(
    ("kind", "data", "right"),
    [
        ("A", "10.0.0.1", True),
        ("A", "10.0.0.1\n$INCLUDE /etc/passwd", False),
        ("AAAA", "2001:db8::1", True),
        ("AAAA", "fe80::1%eth0", False),
        ("CNAME", "a.example.", True),
        ("CNAME", "a.example", False),
        ("MX", "10 mail.example.", True),
        ("MX", "mail.example.", False),
        ("SRV", "1 2 443 a.example.", True),
        ("SRV", "1 2 70000 a.example.", False),
        ("TXT", '"a; b" "c"', True),
        ("TXT", r'"a \" b"', True),
        ("TXT", 'a"', False),
        ("TXT", "a;b", False),
        ("TXT", '"a\nb"', False),
        ("TXT", "(", False),
        ("CAA", '0 issue "ca.example"', True),
        ("CAA", "0 issue", False),
        ("TLSA", "", False),
    ],
)
def test_data_is_what_a_zone_file_can_have_on_one_line(kind: str, data: str, *, right: bool) -> None:
    assert is_data(kind, data) == right


@pytest.mark.parametrize(
    ("zones", "records", "said"),
    [
        ([zone("z", "example.")], [record("z", "a.example.org.", "10.0.0.1")], "is not in example"),
        ([zone("z", "example.")], [record("z", "a.example.", "x")], "not the data of a record of type A"),
        (
            [zone("z", "example.")],
            [record("z", "a.example.", "10.0.0.1"), record("z", "a.example.", "b.example.", kind="CNAME")],
            "either one CNAME",
        ),
        ([zone("z", "example."), zone("y", "example.")], [], "is bound to the zone 'z'"),
        ([zone("z", "example", None)], [], "a dot at its end"),
        ([], [record("z", "a.example.", "10.0.0.1")], "managedZones/z' was not found"),
        ([zone("z", "example.", None, reverseLookupConfig={})], [], "is public"),
    ],
)
def test_zones_and_records_that_cannot_be(
    zones: list[dict[str, object]], records: list[dict[str, object]], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        networks(*zones, records=records)


def test_a_zones_own_name_is_no_alias() -> None:
    zone = {"name": "z", "dnsName": "example.com.", "visibility": "public"}
    alias = {"managedZone": "z", "name": "example.com.", "type": "CNAME", "rrdatas": ["example.org."]}
    with pytest.raises(Inconsistent, match="either one CNAME or record sets of other types"):
        check(topology(dns={"managedZones": [zone], "resourceRecordSets": [alias]}))
