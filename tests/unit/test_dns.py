"""Views and zones as values, and what is written for the name server."""

from __future__ import annotations

import json

import pytest

from testbed.fabric.addressing import allocate, name_server
from testbed.fabric.dns import files, internal, views
from testbed.fabric.dns.zones import RecordSet, View, Zone, closest
from testbed.model.topology import Topology
from tests.unit.topologies import compute, network, plan, service, small, subnet, topology, vm

VPC = "projects/p/global/networks/vpc"


def view(of: Topology, name: str = "vpc") -> View:
    """What a network sees."""
    given = allocate(of, {})
    full = f"projects/p/global/networks/{name}"
    return views.for_network(of, given, full, given[name_server(full)])


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
        "10.in-addr.arpa.", "16.172.in-addr.arpa.", "31.172.in-addr.arpa.", "168.192.in-addr.arpa.",
    ]  # fmt: skip


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
        ("192.0.2.1", "."), ("192.0.2.2", "."), ("192.0.2.1", "a.example."), ("192.0.2.2", "a.example."),
    ]  # fmt: skip


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
