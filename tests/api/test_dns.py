"""dns: zones, record sets and changes, with Google's checks and words."""

from __future__ import annotations

from typing import Any

import pytest

from testbed.json_object import Json
from tests.api.harness import Api, Refused

ZONES = "dns/v1/projects/demo/managedZones"
ZONE = f"{ZONES}/z"
NETWORK = "https://www.googleapis.com/compute/v1/projects/demo/global/networks/vpc"
PRIVATE = {"networks": [{"networkUrl": NETWORK}]}


@pytest.fixture(autouse=True)
def zone(api: Api) -> Json:
    api.post("compute/v1/projects/demo/global/networks", {"name": "vpc", "autoCreateSubnetworks": False})
    return make(api, "z", "example.com.", visibility="private", privateVisibilityConfig=PRIVATE)


def make(api: Api, name: str, dns_name: str, **fields: Any) -> Json:
    return api.post(ZONES, {"name": name, "dnsName": dns_name, "description": "", **fields})


def a(name: str, *addresses: str, ttl: int = 300) -> Json:
    return {"name": name, "type": "A", "ttl": ttl, "rrdatas": list(addresses)}


def names(api: Api, **query: str) -> list[str]:
    return [f"{one['name']} {one['type']}" for one in api.get(f"{ZONE}/rrsets", **query)["rrsets"]]


def test_a_private_zone_begins_with_soa_and_ns(api: Api, zone: Json) -> None:
    assert zone == api.get(ZONE) == api.get(f"{ZONES}/{zone['id']}")
    assert zone["nameServers"] == ["ns-gcp-private.googledomains.com."]
    assert zone["privateVisibilityConfig"]["networks"][0]["networkUrl"] == NETWORK
    assert names(api) == ["example.com. NS", "example.com. SOA"]
    (first,) = api.get(f"{ZONE}/changes")["changes"]
    assert (first["id"], first["status"], first["isServing"]) == ("0", "done", True)
    assert first == api.get(f"{ZONE}/changes/0")


def test_a_zone_of_one_name_in_a_network(api: Api) -> None:
    with pytest.raises(Refused, match="is bound to the zone 'z'"):
        make(api, "y", "example.com.", visibility="private", privateVisibilityConfig=PRIVATE)
    make(api, "y", "example.com.")
    found = api.get(ZONES, dnsName="example.com.")["managedZones"]
    assert [(one["name"], one["visibility"]) for one in found] == [("y", "public"), ("z", "private")]
    assert found[0]["nameServers"][0] == "ns-cloud-a1.googledomains.com."


@pytest.mark.parametrize(
    ("fields", "message", "reason"),
    [
        ({"name": "Z"}, "Invalid value for 'entity.managedZone.name': 'Z'", "invalid"),
        ({"dnsName": "example.com"}, "Invalid value for 'entity.managedZone.dnsName': 'example.com'", "invalid"),
        ({"privateVisibilityConfig": PRIVATE}, "Invalid value for 'entity.managedZone.privateVis", "invalid"),
        (
            {"visibility": "private", "privateVisibilityConfig": {"networks": [{"networkUrl": f"{NETWORK}2"}]}},
            r"'entity.managedZone.privateVisibilityConfig.networks\[0\].networkUrl': '.*vpc2'",
            "invalid",
        ),
        ({"name": "z"}, "The resource 'entity.managedZone' named 'z' already exists", "alreadyExists"),
    ],
)
def test_zones_that_cannot_be(api: Api, fields: Json, message: str, reason: str) -> None:
    with pytest.raises(Refused, match=message) as caught:
        api.post(ZONES, {"name": "y", "dnsName": "example.org.", "description": "", **fields})
    assert caught.value.error["errors"][0]["reason"] == reason
    assert len(api.get(ZONES)["managedZones"]) == 1


def test_a_description_is_required(api: Api) -> None:
    with pytest.raises(Refused, match=r"'entity\.managedZone\.description' parameter is required but was missing"):
        api.post(ZONES, {"name": "y", "dnsName": "example.org."})


def test_a_patch_is_an_operation(api: Api) -> None:
    done = api.patch(ZONE, {"description": "new", "labels": {"env": "test"}})
    assert (done["status"], done["type"], done["user"]) == ("done", "update", "owner@testbed.local")
    assert done["zoneContext"]["oldValue"]["description"] == ""
    assert done["zoneContext"]["newValue"] == api.get(ZONE)
    assert api.get(f"{ZONE}/operations/{done['id']}") == done
    assert api.get(f"{ZONE}/operations")["operations"] == [done]
    with pytest.raises(Refused, match=r"Invalid value for 'entity\.managedZone\.dnsName'"):
        api.patch(ZONE, {"dnsName": "example.org."})


def test_forwarding_and_peering_are_kept(api: Api) -> None:
    forwarding = {"targetNameServers": [{"ipv4Address": "10.1.0.53", "forwardingPath": "private"}]}
    made = make(api, "f", "corp.", visibility="private", forwardingConfig=forwarding)
    assert made["forwardingConfig"] == forwarding
    peering = {"targetNetwork": {"networkUrl": NETWORK}}
    assert make(api, "p", "peer.", visibility="private", peeringConfig=peering)["peeringConfig"] == peering


def test_a_change_is_whole(api: Api) -> None:
    added = api.post(
        f"{ZONE}/changes", {"additions": [a("a.example.com.", "10.0.0.1"), a("b.example.com.", "10.0.0.2")]}
    )
    assert added["id"] == "1"
    with pytest.raises(Refused) as caught:
        api.post(
            f"{ZONE}/changes",
            {"deletions": [a("a.example.com.", "10.0.0.1")], "additions": [a("b.example.com.", "10.0.0.3")]},
        )
    assert caught.value.message == (
        "The resource 'entity.change.additions[0]' named 'b.example.com. (A)' already exists"
    )
    assert caught.value.code == 409
    assert names(api, type="A", name="a.example.com.") == ["a.example.com. A"]
    api.post(
        f"{ZONE}/changes",
        {"deletions": [a("a.example.com.", "10.0.0.1")], "additions": [a("a.example.com.", "10.0.0.9")]},
    )
    assert api.get(f"{ZONE}/rrsets/a.example.com./A")["rrdatas"] == ["10.0.0.9"]
    newest = api.get(f"{ZONE}/changes", sortOrder="descending")["changes"]
    assert [one["id"] for one in newest] == ["2", "1", "0"]


@pytest.mark.parametrize(
    ("change", "message", "code"),
    [
        ({"deletions": [a("a.example.com.", "10.0.0.2")]}, r"not met for 'entity.change.deletions\[0\]'", 412),
        ({"deletions": [a("a.example.com.", "10.0.0.1", ttl=5)]}, "Precondition not met", 412),
        ({"deletions": [a("c.example.com.", "10.0.0.1")]}, r"named 'c.example.com. \(A\)' does not exist", 404),
        ({"additions": [a("c.example.org.", "10.0.0.1")]}, "Invalid value for 'entity.change.additions.*name'", 400),
        ({"additions": [a("c.example.com", "10.0.0.1")]}, "Invalid value for 'entity.change.additions.*name'", 400),
        ({"additions": [a("c.example.com.", "10.0.0.256")]}, r"additions\[0\].rrdata\[0\]': '10.0.0.256'", 400),
        ({"additions": [a("c.example.com.")]}, r"additions\[0\].rrdata' parameter is required", 400),
        ({"additions": [{**a("c.example.com.", "x"), "type": "BOGUS"}]}, "Invalid value .*type': 'BOGUS'", 400),
        (
            {"additions": [{"name": "a.example.com.", "type": "CNAME", "ttl": 5, "rrdatas": ["b.example.com."]}]},
            "may have either one CNAME resource record set or",
            400,
        ),
        ({"additions": [a("c.example.com.", "10.0.0.1"), a("c.example.com.", "10.0.0.2")]}, "already exists", 409),
        ({}, "required", 400),
    ],
)
def test_changes_that_cannot_be(api: Api, change: Json, message: str, code: int) -> None:
    api.post(f"{ZONE}/rrsets", a("a.example.com.", "10.0.0.1"))
    before = api.get(f"{ZONE}/rrsets")
    with pytest.raises(Refused, match=message) as caught:
        api.post(f"{ZONE}/changes", change)
    assert caught.value.code == code
    assert api.get(f"{ZONE}/rrsets") == before


def test_the_apex_keeps_soa_and_ns(api: Api) -> None:
    soa = api.get(f"{ZONE}/rrsets/example.com./SOA")
    with pytest.raises(Refused, match="exactly one resource record set of type 'SOA' at the apex"):
        api.post(f"{ZONE}/changes", {"deletions": [soa]})
    higher = {**soa, "rrdatas": [soa["rrdatas"][0].replace(" 1 ", " 2 ")]}
    api.post(f"{ZONE}/changes", {"deletions": [soa], "additions": [higher]})
    assert " 2 " in api.get(f"{ZONE}/rrsets/example.com./SOA")["rrdatas"][0]


def test_one_record_set(api: Api) -> None:
    made = api.post(f"{ZONE}/rrsets", a("*.example.com.", "10.0.0.1", "10.0.0.2"))
    assert made["kind"] == "dns#resourceRecordSet"
    changed = api.patch(f"{ZONE}/rrsets/*.example.com./A", {"ttl": 60})
    assert (changed["ttl"], changed["rrdatas"]) == (60, ["10.0.0.1", "10.0.0.2"])
    with pytest.raises(Refused, match="cannot be deleted because it contains one or more 'resource records'") as caught:
        api.delete(ZONE)
    assert caught.value.error["errors"][0]["reason"] == "containerNotEmpty"
    api.delete(f"{ZONE}/rrsets/*.example.com./A")
    with pytest.raises(Refused) as caught:
        api.get(f"{ZONE}/rrsets/*.example.com./A")
    assert caught.value.code == 404
    api.delete(ZONE)
    with pytest.raises(Refused, match=r"The 'parameters\.managedZone' resource named 'z' does not exist"):
        api.get(f"{ZONE}/rrsets")
    make(api, "z", "example.com.")
    assert [one["id"] for one in api.get(f"{ZONE}/changes")["changes"]] == ["0"]


def test_record_sets_come_in_pages(api: Api) -> None:
    api.post(f"{ZONE}/changes", {"additions": [a(f"h{number}.example.com.", "10.0.0.1") for number in range(5)]})
    found, token = [], ""
    while True:
        page = api.get(f"{ZONE}/rrsets", maxResults=3, **({"pageToken": token} if token else {}))
        found += [one["name"] for one in page["rrsets"]]
        if not (token := page.get("nextPageToken", "")):
            break
    assert found == ["example.com.", "example.com.", *(f"h{number}.example.com." for number in range(5))]


def test_policies(api: Api) -> None:
    policies = "dns/v1/projects/demo/policies"
    body = {"name": "in", "enableInboundForwarding": True, "networks": [{"networkUrl": NETWORK}]}
    made = api.post(policies, body)
    assert api.get(policies)["policies"] == [made] == [api.get(f"{policies}/in")]
    with pytest.raises(Refused, match=r"Invalid value for 'parameters\.policy'"):
        api.delete(f"{policies}/in")
    assert api.patch(f"{policies}/in", {"networks": []})["policy"]["networks"] == []
    api.delete(f"{policies}/in")
    assert api.get(policies)["policies"] == api.get("dns/v1/projects/demo/responsePolicies")["responsePolicies"] == []


def test_a_project_has_quotas(api: Api) -> None:
    found = api.get("dns/v1/projects/demo")
    assert (found["id"], found["number"].isdigit(), found["quota"]["managedZones"]) == ("demo", True, 10000)


def test_null_in_a_patch_removes_the_field(api: Api) -> None:
    api.patch(ZONE, {"labels": {"a": "1", "b": "2"}})
    api.patch(ZONE, {"labels": {"a": None}})
    assert api.get(ZONE)["labels"] == {"b": "2"}


@pytest.mark.parametrize("empty", [{}, {"networks": []}, {"kind": "dns#managedZonePrivateVisibilityConfig"}])
def test_a_public_zone_may_have_an_empty_config_of_private_ones(api: Api, empty: Json) -> None:
    made = make(api, "e", "example.net.", visibility="public", privateVisibilityConfig=empty)
    assert "privateVisibilityConfig" not in made


def test_a_change_waits_for_the_one_before_it(api: Api) -> None:
    """Cloud DNS refuses nothing for being busy: a zone that is being made is patched, filled and deleted."""
    api.dispatcher.window = 0.0
    api.store.operation_delay = 0.02  # a fifth of a second
    api.post(ZONES, {"name": "y", "dnsName": "y.test.", "description": "", "visibility": "private"})
    api.patch(f"{ZONES}/y", {"description": "patched"})
    record = {"name": "a.y.test.", "type": "A", "ttl": 60, "rrdatas": ["10.0.0.1"]}
    api.post(f"{ZONES}/y/rrsets", record)
    assert api.get(f"{ZONES}/y")["description"] == "patched"
    api.delete(f"{ZONES}/y/rrsets/a.y.test./A")
    api.delete(f"{ZONES}/y")


def test_who_has_waited_long_enough_is_refused(api: Api) -> None:
    api.dispatcher.window, api.dispatcher.queueing = 0.0, 0.1
    api.store.operation_delay = 3600.0
    api.post(ZONES, {"name": "y", "dnsName": "y.test.", "description": "", "visibility": "private"})
    with pytest.raises(Refused, match="unable to queue the operation") as caught:
        api.patch(f"{ZONES}/y", {"description": "patched"})
    assert caught.value.code == 409


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("CAA", "0 issue ("),
        ("CAA", "0 issue ;"),
        ("CAA", "256 issue a"),
        ("TXT", '"\\999"'),
        ("TXT", '"a'),
        ("SPF", '"a" "'),
        ("MX", "10 a"),
    ],
)
@pytest.mark.usefixtures("zone")
def test_data_that_no_name_server_reads_is_refused(api: Api, kind: str, data: str) -> None:
    record = {"name": "a.example.com.", "type": kind, "ttl": 5, "rrdatas": [data]}
    with pytest.raises(Refused, match=r"additions\[0\].rrdata\[0\]") as refused:
        api.post(f"{ZONE}/changes", {"additions": [record]})
    assert refused.value.code == 400
