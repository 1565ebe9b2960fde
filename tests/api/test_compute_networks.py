"""compute: networks of all modes, and their subnets (behaviour 4.4)."""

from __future__ import annotations

import pytest

from testbed.model.core.places import AUTO_SUBNETS
from testbed.model.core.resource import Defaults
from testbed.model.topology import Topology
from tests.api.harness import Api, Refused

P = "compute/v1/projects/demo"
NETWORKS = f"{P}/global/networks"
US = f"{P}/regions/us-central1/subnetworks"
LINK = "https://www.googleapis.com/compute/v1/projects/demo"


def custom(api: Api, name: str = "vpc") -> None:
    assert api.post(NETWORKS, {"name": name, "autoCreateSubnetworks": False})["status"] == "DONE"


def subnet(api: Api, name: str, cidr: str, network: str = "vpc", **more: str) -> None:
    body = {"name": name, "network": f"{LINK}/global/networks/{network}", "ipCidrRange": cidr, **more}
    done = api.post(US, body)
    assert done["status"] == "DONE"
    assert "error" not in done


@pytest.mark.behaviour("4.7.3")
def test_a_custom_network_is_empty(api: Api) -> None:
    custom(api)
    made = api.get(f"{NETWORKS}/vpc")
    assert made["autoCreateSubnetworks"] is False
    assert "mtu" not in made  # 1460 then (behaviour 4.7.3), but only what was set is printed
    assert made["routingConfig"]["routingMode"] == "REGIONAL"
    assert "subnetworks" not in made
    assert api.get(f"{NETWORKS}/{made['id']}")["name"] == "vpc"


@pytest.mark.behaviour("4.4.7")
def test_auto_mode_has_a_subnet_in_every_region(api: Api) -> None:
    api.post(NETWORKS, {"name": "auto", "autoCreateSubnetworks": True})
    assert len(api.get(f"{NETWORKS}/auto")["subnetworks"]) == len(AUTO_SUBNETS)
    us = api.get(f"{US}/auto")
    assert (us["ipCidrRange"], us["gatewayAddress"]) == ("10.128.0.0/20", "10.128.0.1")
    assert api.get(f"{P}/regions/europe-west1/subnetworks/auto")["ipCidrRange"] == "10.132.0.0/20"
    with pytest.raises(Refused, match="Cannot delete auto subnetwork from an auto subnet mode network"):
        api.delete(f"{US}/auto")
    assert api.delete(f"{NETWORKS}/auto")["status"] == "DONE"
    assert api.get(f"{P}/aggregated/subnetworks")["items"]["regions/us-central1"].keys() == {"warning"}


def test_an_auto_mode_network_can_become_a_custom_one(api: Api) -> None:
    api.post(NETWORKS, {"name": "auto", "autoCreateSubnetworks": True})
    done = api.post(f"{NETWORKS}/auto/switchToCustomMode")
    assert (done["operationType"], done["targetLink"]) == ("switchToCustomMode", f"{LINK}/global/networks/auto")
    assert api.get(f"{NETWORKS}/auto")["autoCreateSubnetworks"] is False
    assert api.delete(f"{US}/auto")["status"] == "DONE"
    with pytest.raises(Refused, match="not in auto mode"):
        api.post(f"{NETWORKS}/auto/switchToCustomMode")


def test_an_auto_mode_network_takes_no_subnet_of_another(api: Api) -> None:
    custom(api)
    subnet(api, "auto", "10.0.0.0/24")
    with pytest.raises(Refused) as caught:
        api.post(NETWORKS, {"name": "auto", "autoCreateSubnetworks": True})
    assert caught.value.code == 409
    assert api.get(f"{US}/auto")["ipCidrRange"] == "10.0.0.0/24"


@pytest.mark.behaviour("4.4.8")
def test_legacy_networks_have_neither_subnets_nor_connectors(api: Api) -> None:
    api.post(NETWORKS, {"name": "old", "IPv4Range": "10.240.0.0/16"})
    made = api.get(f"{NETWORKS}/old")
    assert (made["IPv4Range"], made["gatewayIPv4"]) == ("10.240.0.0/16", "10.240.0.1")
    assert "autoCreateSubnetworks" not in made
    with pytest.raises(Refused, match="legacy network cannot have subnetworks"):
        subnet(api, "s", "10.0.0.0/24", "old")
    connector = {"network": "old", "ipCidrRange": "10.8.0.0/28", "minInstances": 2, "maxInstances": 3}
    done = api.post("v1/projects/demo/locations/us-central1/connectors", connector, connectorId="c1")
    assert "does not support legacy networks" in done["error"]["message"]


def test_a_network_that_says_nothing_of_subnets_is_a_legacy_one(api: Api) -> None:
    api.post(NETWORKS, {"name": "old"})
    assert "IPv4Range" in api.get(f"{NETWORKS}/old")


def test_ipv6_is_refused(api: Api) -> None:
    with pytest.raises(Refused, match="the testbed has no IPv6"):
        api.post(NETWORKS, {"name": "six", "autoCreateSubnetworks": False, "enableUlaInternalIpv6": True})
    custom(api)
    body = {"name": "s", "network": "global/networks/vpc", "ipCidrRange": "10.0.0.0/24", "stackType": "IPV4_IPV6"}
    for path, refused in ((US, body), (f"{P}/regions/us-central1/addresses", {"name": "a", "ipVersion": "IPV6"})):
        with pytest.raises(Refused, match="must be 'IPV4"):
            api.post(path, refused)


def test_mtu_and_routing_mode_can_be_changed(api: Api) -> None:
    custom(api)
    api.patch(f"{NETWORKS}/vpc", {"mtu": 1500, "routingConfig": {"routingMode": "GLOBAL"}})
    made = api.get(f"{NETWORKS}/vpc")
    assert (made["mtu"], made["routingConfig"]["routingMode"]) == (1500, "GLOBAL")
    with pytest.raises(Refused, match="mtu"):
        api.patch(f"{NETWORKS}/vpc", {"mtu": 900})
    with pytest.raises(Refused, match="autoCreateSubnetworks cannot be changed"):
        api.patch(f"{NETWORKS}/vpc", {"autoCreateSubnetworks": True})


@pytest.mark.behaviour("4.4.1")
def test_subnets_do_not_overlap(api: Api) -> None:
    custom(api)
    subnet(api, "a", "10.0.0.0/24")
    for cidr in ("10.0.0.0/24", "10.0.0.128/25", "10.0.0.0/16"):
        with pytest.raises(Refused) as caught:
            subnet(api, "b", cidr)
        assert caught.value.message == (
            f"Invalid IPCidrRange: {cidr} conflicts with existing subnetwork 'a' in region 'us-central1'."
        )
        assert caught.value.code == 400


@pytest.mark.behaviour("4.4.1")
def test_a_subnet_only_grows(api: Api) -> None:
    custom(api)
    subnet(api, "a", "10.0.4.0/24")
    subnet(api, "b", "10.0.8.0/24")
    expand = f"{US}/a/expandIpCidrRange"
    for cidr in ("10.0.4.0/25", "10.0.4.0/24", "10.1.0.0/16"):
        with pytest.raises(Refused, match="must be larger than"):
            api.post(expand, {"ipCidrRange": cidr})
    with pytest.raises(Refused, match=r"10\.0\.0\.0/16 conflicts with existing subnetwork 'b'"):
        api.post(expand, {"ipCidrRange": "10.0.0.0/16"})
    api.post(expand, {"ipCidrRange": "10.0.4.0/22"})
    assert api.get(f"{US}/a")["gatewayAddress"] == "10.0.4.1"
    assert api.get(f"{US}/a")["ipCidrRange"] == "10.0.4.0/22"


def test_a_patch_of_a_subnet_needs_its_fingerprint(api: Api) -> None:
    custom(api)
    subnet(api, "a", "10.0.0.0/24")
    for stale in ({}, {"fingerprint": "AAAA"}):
        with pytest.raises(Refused) as caught:
            api.patch(f"{US}/a", {"description": "x", **stale})
        assert (caught.value.code, caught.value.error["errors"][0]["reason"]) == (412, "conditionNotMet")
    current = api.get(f"{US}/a")["fingerprint"]
    api.patch(f"{US}/a", {"enableFlowLogs": True, "fingerprint": current})
    made = api.get(f"{US}/a")
    assert made["logConfig"]["enable"] is True
    assert made["fingerprint"] != current


@pytest.mark.behaviour("4.4.9")
def test_private_google_access_is_off_until_it_is_set(api: Api) -> None:
    custom(api)
    subnet(api, "a", "10.0.0.0/24")
    assert api.get(f"{US}/a")["privateIpGoogleAccess"] is False
    api.post(f"{US}/a/setPrivateIpGoogleAccess", {"privateIpGoogleAccess": True})
    assert api.get(f"{US}/a")["privateIpGoogleAccess"] is True


def test_usable_subnets_include_those_of_the_host(api: Api) -> None:
    custom(api)
    subnet(api, "a", "10.0.0.0/24")
    api.post(f"{P}/enableXpnHost")
    api.post(f"{P}/enableXpnResource", {"xpnResource": {"id": "service", "type": "PROJECT"}})
    (found,) = api.get("compute/v1/projects/service/aggregated/subnetworks/listUsable")["items"]
    assert found["subnetwork"] == f"{LINK}/regions/us-central1/subnetworks/a"


@pytest.mark.behaviour("4.6.1")
def test_a_subnet_has_a_policy(api: Api) -> None:  # behaviour 4.6.1: service projects use it by its role
    custom(api)
    subnet(api, "a", "10.0.0.0/24")
    binding = {"role": "roles/compute.networkUser", "members": ["user:a@example.com"]}
    etag = api.get(f"{US}/a/getIamPolicy")["etag"]
    api.post(f"{US}/a/setIamPolicy", {"policy": {"etag": etag, "bindings": [binding]}})
    assert api.get(f"{US}/a/getIamPolicy")["bindings"] == [binding]
    with pytest.raises(Refused):
        api.get(f"{US}/none/getIamPolicy")


def test_what_the_topology_file_has_is_complete(api: Api) -> None:
    network = {"name": "vpc", "subnet-mode": "auto"}
    rule = {"name": "r", "network": "projects/demo/global/networks/vpc", "allow": "tcp:80"}
    data = {"name": "t", "project": "demo", "compute": {"networks": [network], "firewalls": [rule]}}
    api.store.replace_topology(Topology.model_validate(data, context=Defaults("demo")))
    assert api.get(f"{NETWORKS}/vpc")["autoCreateSubnetworks"] is True
    assert api.get(f"{US}/vpc")["ipCidrRange"] == "10.128.0.0/20"
    made = api.get(f"{P}/global/firewalls/r")
    assert (made["direction"], made["priority"], made["sourceRanges"]) == ("INGRESS", 1000, ["0.0.0.0/0"])


@pytest.mark.behaviour("4.4.3")
@pytest.mark.parametrize("purpose", ["PRIVATE", "PRIVATE_SERVICE_CONNECT", "REGIONAL_MANAGED_PROXY", "PRIVATE_NAT"])
def test_a_subnet_has_a_purpose(api: Api, purpose: str) -> None:
    """Instances are in subnets of the purpose PRIVATE only."""
    custom(api)
    subnet(api, "a", "10.0.0.0/24", purpose=purpose)
    assert api.get(f"{US}/a")["purpose"] == purpose
    instances, nic = f"{P}/zones/us-central1-a/instances", {"subnetwork": f"{LINK}/regions/us-central1/subnetworks/a"}
    disks = [{"boot": True, "initializeParams": {"sourceImage": "testbed/vm"}}]
    kind = "zones/us-central1-a/machineTypes/e2-micro"
    body = {"name": "vm", "machineType": kind, "disks": disks, "networkInterfaces": [nic]}
    if purpose == "PRIVATE":
        api.post(instances, body)
    else:
        with pytest.raises(Refused, match=purpose):
            api.post(instances, body)
    with pytest.raises(Refused, match="purpose"):
        subnet(api, "b", "10.0.1.0/24", purpose="HOLIDAY")


@pytest.mark.behaviour("1.10.3")
def test_a_connector_keeps_its_network(api: Api) -> None:
    api.post(NETWORKS, {"name": "kept", "autoCreateSubnetworks": False})
    connectors = "v1/projects/demo/locations/us-central1/connectors"
    api.post(connectors, {"network": "kept", "ipCidrRange": "10.8.0.0/28", "maxInstances": 3}, connectorId="c1")
    with pytest.raises(Refused) as caught:
        api.delete(f"{NETWORKS}/kept")
    assert caught.value.message == (
        "The network resource 'projects/demo/global/networks/kept' is already being used by"
        " 'projects/demo/global/firewalls/aet-uscentral1-c1-egrfw'"
    )
    assert caught.value.error["errors"][0]["reason"] == "resourceInUseByAnotherResource"
    api.delete(f"{connectors}/c1")
    api.delete(f"{NETWORKS}/kept")
