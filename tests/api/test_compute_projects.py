"""compute: projects, Shared VPC (behaviour 4.6), regions, zones, and what has no packets."""

from __future__ import annotations

import pytest

from tests.api.harness import Api, Refused

P = "compute/v1/projects"
LINK = "https://www.googleapis.com/compute/v1/projects"


def attach(api: Api, service: str, host: str = "demo") -> None:
    done = api.post(f"{P}/{host}/enableXpnResource", {"xpnResource": {"id": service, "type": "PROJECT"}})
    assert done["targetLink"] == f"{LINK}/{host}"


def test_a_project_counts_what_it_has(api: Api) -> None:
    api.post(f"{P}/demo/global/networks", {"name": "vpc", "autoCreateSubnetworks": True})
    project = api.get(f"{P}/demo")
    usage = {one["metric"]: one["usage"] for one in project["quotas"]}
    assert (usage["NETWORKS"], usage["FIREWALLS"]) == (1.0, 0.0)
    assert project["defaultServiceAccount"].endswith("-compute@developer.gserviceaccount.com")
    assert "xpnProjectStatus" not in project


def test_metadata_are_kept(api: Api) -> None:
    items = [{"key": "k", "value": "v"}]
    known = api.get(f"{P}/demo")["commonInstanceMetadata"]["fingerprint"]
    api.post(f"{P}/demo/setCommonInstanceMetadata", {"items": items, "fingerprint": known})
    assert api.get(f"{P}/demo")["commonInstanceMetadata"]["items"] == items
    with pytest.raises(Refused) as caught:
        api.post(f"{P}/demo/setCommonInstanceMetadata", {"items": [], "fingerprint": known})
    assert caught.value.code == 412


def test_service_projects_are_attached_to_a_host(api: Api) -> None:
    done = api.post(f"{P}/demo/enableXpnHost")
    assert (done["operationType"], done["targetLink"]) == ("enableXpnHost", f"{LINK}/demo")
    assert api.get(f"{P}/demo")["xpnProjectStatus"] == "HOST"
    attach(api, "service")
    assert api.get(f"{P}/service/getXpnHost")["name"] == "demo"
    assert "name" not in api.get(f"{P}/other/getXpnHost")
    assert api.get(f"{P}/demo/getXpnResources")["resources"] == [{"id": "service", "type": "PROJECT"}]
    assert [one["name"] for one in api.post(f"{P}/service/listXpnHosts", {})["items"]] == ["demo"]
    with pytest.raises(Refused, match="has service projects: service"):
        api.post(f"{P}/demo/disableXpnHost")
    api.post(f"{P}/demo/disableXpnResource", {"xpnResource": {"id": "service", "type": "PROJECT"}})
    assert "resources" not in api.get(f"{P}/demo/getXpnResources")
    api.post(f"{P}/demo/disableXpnHost")
    assert "xpnProjectStatus" not in api.get(f"{P}/demo")


@pytest.mark.behaviour("4.6.1")
def test_a_project_is_a_host_or_a_service_of_one_host(api: Api) -> None:
    with pytest.raises(Refused, match="not a Shared VPC host"):
        attach(api, "service")
    for host in ("demo", "second"):
        api.post(f"{P}/{host}/enableXpnHost")
    attach(api, "service")
    for service, host in (("second", "demo"), ("service", "second")):
        with pytest.raises(Refused) as caught:
            attach(api, service, host)
        assert caught.value.code == 400
    with pytest.raises(Refused, match="is a service project of 'demo'"):
        api.post(f"{P}/service/enableXpnHost")


def test_regions_and_zones(api: Api) -> None:
    regions = api.get(f"{P}/demo/regions")["items"]
    us = next(one for one in regions if one["name"] == "us-central1")
    assert f"{LINK}/demo/zones/us-central1-a" in us["zones"]
    assert api.get(f"{P}/demo/regions/us-central1") == us
    (zone,) = api.get(f"{P}/demo/zones", filter="name=us-central1-a")["items"]
    assert zone["region"] == f"{LINK}/demo/regions/us-central1"
    for missing in ("regions/moon1", "zones/moon1-a"):
        with pytest.raises(Refused) as caught:
            api.get(f"{P}/demo/{missing}")
        assert caught.value.code == 404


@pytest.mark.behaviour("4.12.2", "4.7.4")
def test_an_attachment_without_an_on_prem_end_is_not_provisioned(api: Api) -> None:
    us = f"{P}/demo/regions/us-central1"
    api.post(f"{P}/demo/global/networks", {"name": "vpc", "autoCreateSubnetworks": False})
    api.post(f"{us}/routers", {"name": "r", "network": "global/networks/vpc"})
    api.post(f"{us}/interconnectAttachments", {"name": "a", "router": "regions/us-central1/routers/r"})
    made = api.get(f"{us}/interconnectAttachments/a")
    assert (made["state"], made["operationalStatus"], made["mtu"]) == ("UNPROVISIONED", "OS_UNPROVISIONED", 1440)
    assert made["vlanTag8021q"] == 2
    partner = {"name": "p", "router": "regions/us-central1/routers/r", "type": "PARTNER"}
    api.post(f"{us}/interconnectAttachments", partner)
    assert api.get(f"{us}/interconnectAttachments/p")["state"] == "PENDING_PARTNER"
    assert made["router"] == f"{LINK}/demo/regions/us-central1/routers/r"
    with pytest.raises(Refused, match=r"resource\.mtu"):
        api.post(f"{us}/interconnectAttachments", {"name": "b", "router": "r", "mtu": 1300})
