"""compute instances: what is accepted, what is refused, and what becomes a node."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from testbed.api.services.compute.names import fingerprint
from testbed.model.core.resource import Defaults
from testbed.model.topology import Topology
from tests.api import harness
from tests.api.harness import Api, Refused

ZONE = "compute/v1/projects/demo/zones/us-central1-a"
INSTANCES = f"{ZONE}/instances"
ROOT = "https://www.googleapis.com/compute/v1/projects/demo"
DEBIAN = "https://compute.googleapis.com/compute/v1/projects/debian-cloud/global/images/family/debian-12"


def _with_subnet(api: Api) -> Api:
    known = Defaults("demo", "us-central1", "us-central1-a")
    api.store.replace_topology(
        Topology.model_validate(
            {
                "name": "t",
                "project": "demo",
                "compute": {
                    "networks": [{"name": "vpc"}],
                    "subnetworks": [{"name": "us", "network": "vpc", "ipCidrRange": "10.0.0.0/24"}],
                },
            },
            context=known,
        )
    )
    return api


@pytest.fixture
def api(api: Api) -> Api:
    return _with_subnet(api)


@pytest.fixture
def queued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    """One that carries operations out when it is told to."""
    with harness.api(tmp_path, monkeypatch, threaded=False) as made:
        made.dispatcher.window = 0.0
        yield _with_subnet(made)


def body(name: str = "vm", image: str = DEBIAN, **more: Any) -> dict[str, Any]:
    """As gcloud sends it."""
    return {
        "name": name,
        "machineType": f"{ROOT}/zones/us-central1-a/machineTypes/e2-micro",
        "disks": [{"boot": True, "autoDelete": True, "initializeParams": {"sourceImage": image}}],
        "networkInterfaces": [{"subnetwork": f"{ROOT}/regions/us-central1/subnetworks/us"}],
        **more,
    }


def insert(api: Api, name: str = "vm", **more: Any) -> dict[str, Any]:
    done = api.post(INSTANCES, body(name, **more))
    assert "error" not in done
    return api.get(f"{INSTANCES}/{name}")


@pytest.mark.parametrize("forwards", [True, False])
def test_an_instance_may_forward(api: Api, forwards: bool) -> None:
    more: dict[str, Any] = {"canIpForward": True} if forwards else {}
    assert insert(api, **more)["canIpForward"] is forwards
    assert api.kernel.plan is not None
    (node,) = (space for space in api.kernel.plan.namespaces if space.name == "vm")
    assert (node.sysctls.get("net.ipv4.ip_forward") == "1") is forwards


def nodes(api: Api) -> set[str]:
    assert api.kernel.plan is not None
    return {node.name for node in api.kernel.plan.nodes} - {"dns"}


def test_an_instance_is_a_node(api: Api) -> None:
    made = insert(api)
    assert made["status"] == "RUNNING"
    assert made["networkInterfaces"][0]["networkIP"] == "10.0.0.2"
    assert made["networkInterfaces"][0]["network"] == f"{ROOT}/global/networks/vpc"
    assert made["machineType"].endswith("/zones/us-central1-a/machineTypes/e2-micro")
    assert made["zone"] == f"{ROOT}/zones/us-central1-a"
    assert "vm" in nodes(api)
    api.delete(f"{INSTANCES}/vm")
    assert "vm" not in nodes(api)
    with pytest.raises(Refused, match="was not found"):
        api.get(f"{ZONE}/disks/vm")


def test_an_external_address_is_given_out_and_taken_back(api: Api) -> None:
    nic = {**body()["networkInterfaces"][0], "accessConfigs": [{"name": "external-nat", "type": "ONE_TO_ONE_NAT"}]}
    made = insert(api, networkInterfaces=[nic])
    assert made["networkInterfaces"][0]["accessConfigs"][0]["natIP"].startswith("198.51.100.")
    where = f"{INSTANCES}/vm"
    api.post(f"{where}/deleteAccessConfig", accessConfig="external-nat", networkInterface="nic0")
    assert not api.get(where)["networkInterfaces"][0].get("accessConfigs")
    api.post(f"{where}/addAccessConfig", {"type": "ONE_TO_ONE_NAT"}, networkInterface="nic0")
    with pytest.raises(Refused, match="At most one access config"):
        api.post(f"{where}/addAccessConfig", {"type": "ONE_TO_ONE_NAT"}, networkInterface="nic0")
    with pytest.raises(Refused, match="Unknown network interface"):
        api.post(f"{where}/addAccessConfig", {"type": "ONE_TO_ONE_NAT"}, networkInterface="nic1")


def test_a_reserved_external_address_can_be_given(api: Api) -> None:
    region = "compute/v1/projects/demo/regions/us-central1"
    api.post(f"{region}/addresses", {"name": "ip"})
    reserved = api.get(f"{region}/addresses/ip")["address"]
    nic = {**body()["networkInterfaces"][0], "accessConfigs": [{"natIP": reserved}]}
    made = insert(api, networkInterfaces=[nic])
    assert made["networkInterfaces"][0]["accessConfigs"][0]["natIP"] == reserved
    api.post(f"{INSTANCES}/vm/stop")
    stopped = api.get(f"{INSTANCES}/vm")["networkInterfaces"][0]["accessConfigs"][0]
    assert stopped["natIP"] == reserved
    with pytest.raises(Refused, match="already being used"):
        insert(api, "other", networkInterfaces=[nic])


def test_in_an_auto_mode_network_the_region_has_a_subnet(api: Api) -> None:
    api.post("compute/v1/projects/demo/global/networks", {"name": "default", "autoCreateSubnetworks": True})
    made = insert(api, networkInterfaces=[{}])  # Google's default network
    assert made["networkInterfaces"][0]["subnetwork"] == f"{ROOT}/regions/us-central1/subnetworks/default"
    assert made["networkInterfaces"][0]["networkIP"] == "10.128.0.2"


def test_an_internal_address_can_be_given_once(api: Api) -> None:
    nic = {**body()["networkInterfaces"][0], "networkIP": "10.0.0.77"}
    assert insert(api, networkInterfaces=[nic])["networkInterfaces"][0]["networkIP"] == "10.0.0.77"
    with pytest.raises(Refused, match=r"IP '10\.0\.0\.77' is already being used by another resource"):
        insert(api, "other", networkInterfaces=[nic])


def test_stopped_it_has_no_node_and_keeps_its_address(api: Api) -> None:
    insert(api, "first")
    insert(api, "second")
    api.post(f"{INSTANCES}/first/stop")
    stopped = api.get(f"{INSTANCES}/first")
    assert stopped["status"] == "TERMINATED"
    assert stopped["networkInterfaces"][0]["networkIP"] == "10.0.0.2"
    assert nodes(api) == {"second"}
    insert(api, "third")
    assert api.get(f"{INSTANCES}/third")["networkInterfaces"][0]["networkIP"] == "10.0.0.4"
    api.post(f"{INSTANCES}/first/start")
    assert api.get(f"{INSTANCES}/first")["status"] == "RUNNING"
    assert nodes(api) == {"first", "second", "third"}


def test_reset_makes_a_new_node(api: Api) -> None:
    insert(api, "vm")
    api.post(f"{INSTANCES}/vm/reset")
    assert api.kernel.restarted == ["vm"]
    assert api.get(f"{INSTANCES}/vm")["status"] == "RUNNING"
    api.post(f"{INSTANCES}/vm/stop")
    with pytest.raises(Refused, match="is not ready"):
        api.post(f"{INSTANCES}/vm/reset")


def test_while_operations_are_under_way_its_status_says_so(queued: Api) -> None:
    api = queued
    where = f"{INSTANCES}/vm"
    api.post(INSTANCES, body())
    assert api.get(where)["status"] == "PROVISIONING"
    assert "networkIP" not in api.get(where)["networkInterfaces"][0]
    with pytest.raises(Refused, match="is not ready"):
        api.post(f"{where}/stop")
    api.settle()
    assert api.get(where)["status"] == "RUNNING"
    api.post(f"{where}/stop")
    assert api.get(where)["status"] == "STOPPING"
    api.settle()
    api.post(f"{where}/start")
    assert api.get(where)["status"] == "STAGING"
    api.settle()
    api.delete(where)
    assert api.get(where)["status"] == "STOPPING"


def test_the_serial_port_has_the_log_of_the_node(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    insert(api, "vm")
    with pytest.raises(Refused, match="is not ready"):
        api.get(f"{INSTANCES}/vm/serialPort")
    monkeypatch.setattr(api.plane.nodes, "log", {"vm": "booted\n"}.get)
    assert api.get(f"{INSTANCES}/vm/serialPort")["contents"] == "booted\n"
    rest = api.get(f"{INSTANCES}/vm/serialPort", start=3)
    assert (rest["contents"], rest["next"]) == ("ted\n", "7")


def test_tags_are_guarded_by_a_fingerprint(api: Api) -> None:
    seen = insert(api, tags={"items": ["web"]})["tags"]["fingerprint"]
    with pytest.raises(Refused) as caught:
        api.post(f"{INSTANCES}/vm/setTags", {"items": ["db"], "fingerprint": "c3RhbGU="})
    assert (caught.value.code, caught.value.error["errors"][0]["reason"]) == (412, "conditionNotMet")
    api.post(f"{INSTANCES}/vm/setTags", {"items": ["db"], "fingerprint": seen})
    assert api.get(f"{INSTANCES}/vm")["tags"]["items"] == ["db"]
    with pytest.raises(Refused):
        api.post(f"{INSTANCES}/vm/setTags", {"items": [], "fingerprint": seen})


def test_fingerprints_come_back_as_they_went() -> None:
    """gcloud reads them as bytes, and writes them in the URL-safe alphabet."""
    for seen in map(fingerprint, range(50)):
        assert urlsafe_b64encode(urlsafe_b64decode(seen)).decode() == seen


def test_labels_and_metadata_are_guarded_as_well(api: Api) -> None:
    made = insert(api)
    for method, fields, guard in (
        ("setLabels", {"labels": {"a": "b"}}, {"labelFingerprint": made["labelFingerprint"]}),
        ("setMetadata", {"items": [{"key": "a", "value": "b"}]}, {"fingerprint": made["metadata"]["fingerprint"]}),
    ):
        with pytest.raises(Refused) as caught:
            api.post(f"{INSTANCES}/vm/{method}", fields)
        assert caught.value.code == 412
        api.post(f"{INSTANCES}/vm/{method}", {**fields, **guard})
    changed = api.get(f"{INSTANCES}/vm")
    assert changed["labels"] == {"a": "b"}
    assert changed["metadata"]["items"] == [{"key": "a", "value": "b"}]


def test_some_changes_need_it_stopped(api: Api) -> None:
    insert(api, serviceAccounts=[{"email": "default", "scopes": []}])
    where = f"{INSTANCES}/vm"
    assert api.get(where)["serviceAccounts"][0]["email"].endswith("-compute@developer.gserviceaccount.com")
    with pytest.raises(Refused, match="must be stopped"):
        api.post(f"{where}/setMachineType", {"machineType": "zones/us-central1-a/machineTypes/e2-small"})
    with pytest.raises(Refused, match="must be stopped"):
        api.post(f"{where}/setServiceAccount", {"email": "me@demo.iam.gserviceaccount.com"})
    api.post(f"{where}/stop")
    api.post(f"{where}/setMachineType", {"machineType": "zones/us-central1-a/machineTypes/e2-small"})
    api.post(f"{where}/setServiceAccount", {"email": "me@demo.iam.gserviceaccount.com"})
    changed = api.get(where)
    assert changed["machineType"].endswith("/e2-small")
    assert changed["serviceAccounts"][0]["email"] == "me@demo.iam.gserviceaccount.com"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"machineType": "zones/us-central1-a/machineTypes/x9"}, "'zones/us-central1-a/machineTypes/x9'"),
        ({"image": "projects/demo/global/images/nothing"}, "The referenced image resource cannot be found."),
        ({"image": "projects/windows-cloud/global/images/family/windows-2022"}, "image resource cannot be found"),
        ({"image": "projects/debian-cloud/global/images/family/debain-12"}, "image resource cannot be found"),
        ({"disks": []}, "Boot disk must be specified"),
        ({"networkInterfaces": [{"network": "global/networks/vpc"}]}, "for custom subnetmode network"),
        ({"networkInterfaces": [{}]}, "The resource 'projects/demo/global/networks/default' was not found"),
        ({"networkInterfaces": [{"subnetwork": "regions/us-central1/subnetworks/us"}] * 2}, "at most 1 item"),
        ({"networkInterfaces": [{"subnetwork": "regions/us-central1/subnetworks/none"}]}, "was not found"),
        ({"name": "No"}, "Must be a match of regex"),
    ],
)
def test_what_is_refused(api: Api, more: dict[str, Any], message: str) -> None:
    with pytest.raises(Refused) as caught:
        api.post(INSTANCES, {**body(image=more.pop("image", DEBIAN)), **more})
    assert message in caught.value.message
    assert caught.value.code in {400, 404}
    assert api.plane.list("compute.instances") == []
    assert api.plane.list("compute.disks") == []


def test_the_error_of_an_image_is_googles(api: Api) -> None:
    with pytest.raises(Refused) as caught:
        insert(api, image="projects/demo/global/images/nothing")
    assert caught.value.message == (
        "Invalid value for field 'resource.disks[0].initializeParams.sourceImage':"
        " 'projects/demo/global/images/nothing'. The referenced image resource cannot be found."
    )


def test_an_image_of_ones_own_is_a_docker_image(api: Api) -> None:
    api.images.known.add("mine")
    insert(api, image="projects/demo/global/images/mine")
    assert api.kernel.plan is not None
    assert next(node for node in api.kernel.plan.nodes if node.name == "vm").image == "mine"
    assert api.get("compute/v1/projects/demo/global/images/mine")["status"] == "READY"


def test_public_images_stand_for_the_built_in_one(api: Api) -> None:
    insert(api)
    assert api.kernel.plan is not None
    assert next(node for node in api.kernel.plan.nodes if node.name == "vm").image == "testbed/vm"
    family = api.get("compute/v1/projects/debian-cloud/global/images/family/debian-12")
    assert family["selfLink"].endswith("/projects/debian-cloud/global/images/debian-12-bookworm-v20261110")
    listed = api.get("compute/v1/projects/debian-cloud/global/images")["items"]
    assert [image["family"] for image in listed] == ["debian-11", "debian-12", "debian-13"]
    for image in (family, *listed):
        assert api.get(image["selfLink"].partition(".com/")[2]) == image
    assert api.get(f"{ZONE}/disks/vm")["sourceImage"] == family["selfLink"]
    with pytest.raises(Refused, match="was not found"):
        api.get("compute/v1/projects/debian-cloud/global/images/debian-11")  # it is a family
    with pytest.raises(Refused, match="was not found"):
        api.get("compute/v1/projects/debian-cloud/global/images/none")


def test_a_disk_goes_with_its_instance_only_if_that_says_so(api: Api) -> None:
    insert(api)
    with pytest.raises(Refused, match="is already being used by 'projects/demo/zones/us-central1-a/instances/vm'"):
        api.delete(f"{ZONE}/disks/vm")
    kept = [{**body()["disks"][0], "autoDelete": False}]
    insert(api, "keeper", disks=kept)
    api.delete(f"{INSTANCES}/keeper")
    disk = api.get(f"{ZONE}/disks/keeper")
    assert disk["sourceImage"].endswith("/debian-12-bookworm-v20261110")
    assert "users" not in disk
    made = insert(api, "heir", disks=[{"boot": True, "source": "zones/us-central1-a/disks/keeper"}])
    assert made["disks"][0]["source"] == f"{ROOT}/zones/us-central1-a/disks/keeper"


def test_a_disk_that_is_part_of_an_instance_has_its_name(api: Api) -> None:
    insert(api)
    assert api.get(f"{ZONE}/disks/vm")["sourceImage"].endswith("/debian-12-bookworm-v20261110")
    with pytest.raises(Refused, match="disks/vm' already exists"):
        api.post(f"{ZONE}/disks", {"name": "vm"})
    with pytest.raises(Refused, match="disks/vm' already exists"):
        insert(api, "other", disks=[{"boot": True, "initializeParams": {"sourceImage": DEBIAN, "diskName": "vm"}}])
    _with_subnet(api)  # `testbed up` of a file without the instance
    assert "items" not in api.get(f"{ZONE}/disks")
    insert(api)


def test_protected_it_is_not_deleted(api: Api) -> None:
    insert(api, deletionProtection=True)
    with pytest.raises(Refused, match="protected against deletion"):
        api.delete(f"{INSTANCES}/vm")
    api.post(f"{INSTANCES}/vm/setDeletionProtection", deletionProtection="false")
    api.delete(f"{INSTANCES}/vm")


def test_lists(api: Api) -> None:
    insert(api, "one", labels={"a": "x"})
    insert(api, "two")
    assert [item["name"] for item in api.get(INSTANCES)["items"]] == ["one", "two"]
    assert [item["name"] for item in api.get(INSTANCES, filter="labels.a=x")["items"]] == ["one"]
    scopes = api.get("compute/v1/projects/demo/aggregated/instances")["items"]
    assert len(scopes["zones/us-central1-a"]["instances"]) == 2


def test_effective_firewalls_are_those_for_its_tags(api: Api) -> None:
    insert(api, tags={"items": ["web"]})
    rules = "compute/v1/projects/demo/global/firewalls"
    for name, tags in (("all", []), ("web", ["web"]), ("db", ["db"])):
        api.post(
            rules,
            {"name": name, "network": "global/networks/vpc", "targetTags": tags, "allowed": [{"IPProtocol": "tcp"}]},
        )
    found = api.get(f"{INSTANCES}/vm/getEffectiveFirewalls")["firewalls"]
    assert {rule["name"] for rule in found} == {"all", "web"}


def test_machine_types(api: Api) -> None:
    micro = api.get(f"{ZONE}/machineTypes/e2-micro")
    assert (micro["guestCpus"], micro["memoryMb"], micro["isSharedCpu"]) == (2, 1024, True)
    standard = api.get(f"{ZONE}/machineTypes/n1-standard-4")
    assert (standard["guestCpus"], standard["memoryMb"]) == (4, 15360)
    with pytest.raises(Refused, match="was not found"):
        api.get(f"{ZONE}/machineTypes/x9")
    assert api.get(f"{ZONE}/diskTypes/pd-ssd")["description"] == "SSD Persistent Disk"


def test_metadata_that_a_guest_would_act_on_and_ours_does_not_is_refused(api: Api) -> None:
    image = {"initializeParams": {"sourceImage": "projects/cos-cloud/global/images/family/cos-stable"}}
    body = {
        "name": "cos",
        "machineType": "zones/us-central1-a/machineTypes/e2-micro",
        "networkInterfaces": [{"subnetwork": "regions/us-central1/subnetworks/us"}],
        "disks": [{"boot": True, **image}],
        "metadata": {"items": [{"key": "gce-container-declaration", "value": "spec: {}"}]},
    }
    with pytest.raises(Refused, match="gce-container-declaration") as caught:
        api.post(INSTANCES, body)
    assert caught.value.code == 400
    api.post(INSTANCES, {**body, "metadata": {"items": [{"key": "startup-script", "value": "true"}]}})
