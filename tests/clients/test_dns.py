"""google-cloud-dns, unmodified: it has hand-written REST, and no options of gRPC's."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from google.api_core import exceptions
from google.auth.credentials import AnonymousCredentials
from google.cloud.dns import Changes, Client, ManagedZone

from tests.clients.conftest import PROJECT, Served


@pytest.fixture(params=["override", "proxy"])
def client(request: pytest.FixtureRequest, served: Served) -> Client:
    if request.param == "override":
        options = {"api_endpoint": served.endpoint.url}
        return Client(PROJECT, credentials=AnonymousCredentials(), client_options=options)
    request.getfixturevalue("proxied")
    return Client(PROJECT, credentials=AnonymousCredentials())


def test_the_life_of_a_zone(client: Client) -> None:
    zone = client.zone("z", "example.com.", "a zone")
    zone.create()
    assert client.zone("z").exists()
    assert [one.name for one in client.list_zones()] == ["z"]
    record = zone.resource_record_set("www.example.com.", "A", 300, ["10.0.0.1", "10.0.0.2"])
    _changed(zone, lambda changes: changes.add_record_set(record))
    assert [one.rrdatas for one in zone.list_resource_record_sets() if one.record_type == "A"] == [record.rrdatas]
    _changed(zone, lambda changes: changes.delete_record_set(record))
    assert {one.record_type for one in zone.list_resource_record_sets()} == {"SOA", "NS"}
    assert len(list(zone.list_changes())) >= 2
    zone.delete()
    assert not client.zone("z").exists()


def test_lists_come_in_pages(client: Client) -> None:
    for number in range(3):
        client.zone(f"z{number}", f"example{number}.com.", "").create()
    pages = client.list_zones(max_results=2).pages
    assert next(pages).num_items == 2
    assert len(list(client.list_zones())) == 3


def test_refusals(client: Client) -> None:
    zone = client.zone("z", "example.com.", "a zone")
    zone.create()
    with pytest.raises(exceptions.Conflict):
        zone.create()
    with pytest.raises(exceptions.NotFound):
        client.zone("none").delete()
    with pytest.raises(exceptions.BadRequest):
        client.zone("No Zone", "example.org.", "").create()


def _changed(zone: ManagedZone, change: Callable[[Changes], None]) -> None:
    changes = zone.changes()
    change(changes)
    changes.create()
    assert changes.status == "done"
