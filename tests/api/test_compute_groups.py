"""compute instance groups: a managed one makes and removes instances, another is a list."""

from __future__ import annotations

from typing import Any

import pytest

from testbed.model.core.resource import Defaults
from testbed.model.topology import Topology
from tests.api.harness import Api, Refused

PROJECT = "compute/v1/projects/demo"
ZONE = f"{PROJECT}/zones/us-central1-a"
MANAGERS = f"{ZONE}/instanceGroupManagers"
GROUPS = f"{ZONE}/instanceGroups"
TEMPLATES = f"{PROJECT}/global/instanceTemplates"
DEBIAN = "projects/debian-cloud/global/images/family/debian-12"


@pytest.fixture(autouse=True)
def template(api: Api) -> None:
    known = Defaults("demo", "us-central1", "us-central1-a")
    api.store.replace_topology(
        Topology.model_validate(
            {
                "name": "t",
                "project": "demo",
                "compute": {
                    "networks": [{"name": "vpc"}],
                    "subnetworks": [{"name": "us", "network": "vpc", "ipCidrRange": "10.0.0.0/24"}],
                    "instances": [{"name": "of-a-file", "networkInterfaces": [{"subnetwork": "us"}]}],
                },
            },
            context=known,
        )
    )
    api.post(TEMPLATES, {"name": "web", "properties": properties()})


def properties(image: str = DEBIAN) -> dict[str, Any]:
    return {
        "machineType": "e2-micro",
        "tags": {"items": ["web"]},
        "disks": [{"boot": True, "autoDelete": True, "initializeParams": {"sourceImage": image}}],
        "networkInterfaces": [{"subnetwork": "regions/us-central1/subnetworks/us"}],
    }


def managed(api: Api, size: int = 2, **more: Any) -> list[str]:
    body = {"name": "g", "instanceTemplate": "global/instanceTemplates/web", "targetSize": size, **more}
    assert "error" not in api.post(MANAGERS, body)
    return names(api)


def names(api: Api) -> list[str]:
    listed = api.post(f"{MANAGERS}/g/listManagedInstances").get("managedInstances", [])
    assert all(item["instanceStatus"] == "RUNNING" and item["currentAction"] == "NONE" for item in listed)
    return [item["name"] for item in listed]


def nodes(api: Api) -> set[str]:
    assert api.kernel.plan is not None
    return {node.name for node in api.kernel.plan.nodes} - {"of-a-file", "dns"}


def test_a_managed_group_makes_its_instances(api: Api) -> None:
    made = managed(api, baseInstanceName="web")
    assert len(made) == 2
    assert all(name.startswith("web-") for name in made)
    assert nodes(api) == set(made)
    one = api.get(f"{ZONE}/instances/{made[0]}")
    assert one["tags"]["items"] == ["web"]
    assert {item["key"] for item in one["metadata"]["items"]} == {"created-by", "instance-template"}
    group = api.get(f"{GROUPS}/g")
    assert group["size"] == 2
    assert group["subnetwork"].endswith("/regions/us-central1/subnetworks/us")
    listed = api.post(f"{GROUPS}/g/listInstances", {"instanceState": "RUNNING"})["items"]
    assert {item["instance"].rpartition("/")[2] for item in listed} == set(made)


def test_resize(api: Api) -> None:
    made = managed(api)
    api.post(f"{MANAGERS}/g/resize", size=4)
    larger = names(api)
    assert set(made) < set(larger)
    assert len(larger) == 4
    api.post(f"{MANAGERS}/g/resize", size=1)
    (kept,) = names(api)
    assert kept in made  # the others are younger
    assert nodes(api) == {kept}
    assert api.get(f"{MANAGERS}/g")["targetSize"] == 1
    with pytest.raises(Refused, match="must be within"):
        api.post(f"{MANAGERS}/g/resize", size=1001)


def test_members_come_and_go_by_name(api: Api) -> None:
    made = managed(api)
    api.post(f"{MANAGERS}/g/createInstances", {"instances": [{"name": "chosen"}]})
    assert set(names(api)) == {*made, "chosen"}
    api.post(f"{MANAGERS}/g/deleteInstances", {"instances": [f"zones/us-central1-a/instances/{made[0]}"]})
    assert set(names(api)) == {made[1], "chosen"}
    assert api.get(f"{MANAGERS}/g")["targetSize"] == 2
    api.post(f"{MANAGERS}/g/abandonInstances", {"instances": ["zones/us-central1-a/instances/chosen"]})
    assert nodes(api) == {made[1], "chosen"}
    assert names(api) == [made[1]]
    with pytest.raises(Refused, match="not a member"):
        api.post(f"{MANAGERS}/g/deleteInstances", {"instances": ["zones/us-central1-a/instances/chosen"]})


def test_an_instance_is_deleted_by_its_group_only(api: Api) -> None:
    made = managed(api, 1)
    with pytest.raises(Refused, match="manages it") as caught:
        api.delete(f"{ZONE}/instances/{made[0]}")
    assert caught.value.code == 501
    api.delete(f"{MANAGERS}/g")
    assert nodes(api) == set()
    with pytest.raises(Refused, match="was not found"):
        api.get(f"{GROUPS}/g")


def test_instances_are_recreated_from_the_template_that_is_set(api: Api) -> None:
    api.images.known.add("next")
    api.post(TEMPLATES, {"name": "next", "properties": properties("projects/demo/global/images/next")})
    (name,) = managed(api, 1)
    where = f"{ZONE}/instances/{name}"
    before = api.get(where)
    api.post(f"{MANAGERS}/g/setInstanceTemplate", {"instanceTemplate": "global/instanceTemplates/next"})
    api.post(f"{MANAGERS}/g/recreateInstances", {"instances": [f"zones/us-central1-a/instances/{name}"]})
    assert api.kernel.plan is not None
    assert next(node for node in api.kernel.plan.nodes if node.name == name).image == "next"
    after = api.get(where)
    assert after["networkInterfaces"][0]["networkIP"] == before["networkInterfaces"][0]["networkIP"]
    assert api.get(f"{ZONE}/disks/{name}")["sourceImage"].endswith("/images/next")


def test_a_template_in_use_is_not_deleted(api: Api) -> None:
    managed(api, 0)
    with pytest.raises(Refused, match=r"is already being used by .*/instanceGroupManagers/g'"):
        api.delete(f"{TEMPLATES}/web")
    api.delete(f"{MANAGERS}/g")
    api.delete(f"{TEMPLATES}/web")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"instanceTemplate": "global/instanceTemplates/none"}, "was not found"),
        ({"autoHealingPolicies": [{"initialDelaySec": 1}]}, "do not have this"),
        ({"versions": [{"name": "a"}, {"name": "b"}]}, "one version"),
        ({"targetSize": -1}, "must be within"),
    ],
)
def test_what_is_refused(api: Api, more: dict[str, Any], message: str) -> None:
    with pytest.raises(Refused, match=message):
        managed(api, **more)
    assert api.plane.list("compute.instanceGroupManagers") == []


def test_an_unmanaged_group_is_a_list(api: Api) -> None:
    api.post(GROUPS, {"name": "u"})
    member = {"instances": [{"instance": "zones/us-central1-a/instances/of-a-file"}]}
    api.post(f"{GROUPS}/u/addInstances", member)
    assert api.get(f"{GROUPS}/u")["size"] == 1
    with pytest.raises(Refused, match="is a member of"):
        api.post(f"{GROUPS}/u/addInstances", member)
    api.post(f"{GROUPS}/u/setNamedPorts", {"namedPorts": [{"name": "http", "port": 80}]})
    (item,) = api.post(f"{GROUPS}/u/listInstances")["items"]
    assert (item["status"], item["namedPorts"][0]["port"]) == ("RUNNING", 80)
    api.post(f"{GROUPS}/u/removeInstances", member)
    assert api.get(f"{GROUPS}/u")["size"] == 0
    with pytest.raises(Refused, match="not a member"):
        api.post(f"{GROUPS}/u/removeInstances", member)
    api.delete(f"{GROUPS}/u")


def test_the_group_of_a_manager_is_not_changed_by_others(api: Api) -> None:
    managed(api, 1)
    with pytest.raises(Refused, match="already being used by"):
        api.delete(f"{GROUPS}/g")
    with pytest.raises(Refused, match="already being used by"):
        api.post(f"{GROUPS}/g/addInstances", {"instances": [{"instance": "zones/us-central1-a/instances/of-a-file"}]})


def test_an_instance_of_a_file_reads_the_same_way(api: Api) -> None:
    read = api.get(f"{ZONE}/instances/of-a-file")
    assert read["status"] == "RUNNING"
    assert read["machineType"].endswith("/zones/us-central1-a/machineTypes/e2-micro")
    disk = read["disks"][0]["source"].removeprefix("https://www.googleapis.com/")
    assert api.get(disk)["users"] == [read["selfLink"]]
