"""redis: instances, what they say of themselves, and what is refused (behaviour 4.9)."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA1

from testbed.fabric.plan import Node
from tests.api.harness import Api, Refused

INSTANCES = "v1/projects/demo/locations/us-central1/instances"
NAME = "projects/demo/locations/us-central1/instances/r1"
NETWORK = "projects/demo/global/networks/vpc"
BODY = {"tier": "BASIC", "memorySizeGb": 1, "authorizedNetwork": NETWORK}


@pytest.fixture(autouse=True)
def network(api: Api) -> None:
    api.post("compute/v1/projects/demo/global/networks", {"name": "vpc", "autoCreateSubnetworks": False})


def create(api: Api, **fields: Any) -> Any:
    return api.post(INSTANCES, {**BODY, **fields}, instanceId="r1")


def node(api: Api) -> Node:
    assert api.kernel.plan is not None
    return next(node for node in api.kernel.plan.nodes if node.name == "r1")


def test_an_instance_says_where_it_is(api: Api) -> None:
    done = create(api, reservedIpRange="10.9.0.0/29", labels={"env": "test"})
    assert done["metadata"]["target"] == NAME
    assert (done["metadata"]["verb"], done["metadata"]["apiVersion"]) == ("create", "v1")
    made = api.get(f"{INSTANCES}/r1")
    assert done["response"] == {"@type": "type.googleapis.com/google.cloud.redis.v1.Instance", **made}
    assert (made["host"], made["port"], made["reservedIpRange"]) == ("10.9.0.3", 6379, "10.9.0.0/29")
    assert (made["state"], made["locationId"], made["labels"]) == ("READY", "us-central1-a", {"env": "test"})


@pytest.mark.behaviour("4.9.2")
def test_a_range_is_picked_if_none_is_given(api: Api) -> None:
    create(api)
    made = api.get(f"{INSTANCES}/r1")
    assert made["reservedIpRange"].endswith("/29")
    assert made["host"] == f"{made['reservedIpRange'].rpartition('.')[0]}.3"


@pytest.mark.behaviour("4.9.4")
def test_the_default_network_is_called_default(api: Api) -> None:
    with pytest.raises(Refused, match=r"^400: Network name is not valid\.") as caught:
        api.post(INSTANCES, {"tier": "BASIC", "memorySizeGb": 1}, instanceId="r1")
    violation = caught.value.error["details"][0]["fieldViolations"][0]
    assert violation["field"] == "instance.authorized_network"
    api.post("compute/v1/projects/demo/global/networks", {"name": "default", "autoCreateSubnetworks": False})
    api.post(INSTANCES, {"tier": "BASIC", "memorySizeGb": 1}, instanceId="r1")
    assert api.get(f"{INSTANCES}/r1")["authorizedNetwork"] == "projects/demo/global/networks/default"


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("authorizedNetwork", "vpc", "invalid authorized_network format"),
        ("authorizedNetwork", "projects/other/global/networks/vpc", "must exist in the same project"),
        ("tier", "STANDARD_HA", "STANDARD_HA is not built yet"),
        ("readReplicasMode", "READ_REPLICAS_ENABLED", "READ_REPLICAS_ENABLED is not built yet"),
        ("customerManagedKey", "k", "customerManagedKey: the testbed encrypts nothing"),
        ("persistenceConfig", {"persistenceMode": "RDB"}, "persistence is not built yet"),
        ("redisVersion", "REDIS_2_8", "REDIS_7_0"),
        ("reservedIpRange", "10.9.0.0/28", "must be a /29"),
        ("locationId", "us-east1-b", "is not a zone of us-central1"),
        ("memorySizeGb", 301, "less than or equal to 300"),
        ("redisConfigs", {"dir": "/"}, "cannot be set"),
        ("redisConfigs", {"maxmemory-policy": "noeviction\nrequirepass x"}, "must match"),
    ],
)
def test_what_is_refused(api: Api, field: str, value: Any, message: str) -> None:
    with pytest.raises(Refused, match=message) as caught:
        create(api, **{field: value})
    assert (caught.value.code, caught.value.status) == (400, "INVALID_ARGUMENT")
    assert api.get(INSTANCES) == {}


CONNECTIONS = "v1/services/servicenetworking.googleapis.com/connections"
PRIVATE = {"connectMode": "PRIVATE_SERVICE_ACCESS"}


def connect(api: Api, *ranges: str) -> None:
    for index, name in enumerate(ranges):
        body = {
            "name": name,
            "purpose": "VPC_PEERING",
            "addressType": "INTERNAL",
            "network": NETWORK,
            "address": f"10.{60 + index}.0.0",
            "prefixLength": 28,
        }
        api.post("compute/v1/projects/demo/global/addresses", body)
    api.post(CONNECTIONS, {"network": NETWORK, "reservedPeeringRanges": [*ranges]})


@pytest.mark.behaviour("4.9.1", "4.9.3")
def test_behind_a_private_connection_it_has_an_address_of_an_allocated_range(api: Api) -> None:
    connect(api, "a", "b")
    create(api, **PRIVATE)
    api.post(INSTANCES, {**BODY, **PRIVATE, "reservedIpRange": "b"}, instanceId="r2")
    found = [api.get(f"{INSTANCES}/{name}") for name in ("r1", "r2")]
    assert [one["reservedIpRange"] for one in found] == ["10.60.0.0/29", "10.61.0.0/29"]
    assert (found[0]["host"], found[0]["port"], found[0]["connectMode"]) == (
        "10.60.0.3",
        6379,
        "PRIVATE_SERVICE_ACCESS",
    )
    for name in ("r3", "r4"):  # one fits into the rest of the first range, the other into the second
        api.post(INSTANCES, {**BODY, **PRIVATE}, instanceId=name)
    assert api.get(f"{INSTANCES}/r3")["reservedIpRange"] == "10.60.0.8/29"
    assert api.get(f"{INSTANCES}/r4")["reservedIpRange"] == "10.61.0.8/29"
    error = api.post(INSTANCES, {**BODY, **PRIVATE}, instanceId="r5")["error"]
    assert error["message"].startswith("Couldn't find free blocks in allocated IP ranges.")
    with pytest.raises(Refused, match="404"):
        api.get(f"{INSTANCES}/r5")


@pytest.mark.behaviour("4.9.3")
def test_without_a_private_connection_there_is_no_way(api: Api) -> None:
    error = create(api, **PRIVATE)["error"]
    assert error == {
        "code": 9,
        "message": "Google private service access is not enabled. Enable private service access and try again.",
    }
    connect(api, "a")
    for given, message in (("10.60.0.0/29", "must be the name"), ("other", "'other' is not a range")):
        with pytest.raises(Refused, match=message):
            create(api, **PRIVATE, reservedIpRange=given)
    assert api.get(INSTANCES) == {}


@pytest.mark.behaviour("4.9.6")
def test_a_shared_network_is_reached_by_its_private_connection_only(api: Api) -> None:
    connect(api, "a")
    where = "v1/projects/service/locations/us-central1/instances"
    with pytest.raises(Refused, match="must exist in the same project as redis instance"):
        api.post(where, BODY, instanceId="r1")
    api.post(where, {**BODY, **PRIVATE}, instanceId="r1")
    assert api.get(f"{where}/r1")["host"] == "10.60.0.3"


@pytest.mark.behaviour("4.9.5")
def test_with_in_transit_encryption_it_has_a_ca_of_its_own(api: Api) -> None:
    made = create(api, transitEncryptionMode="SERVER_AUTHENTICATION", authEnabled=True)["response"]
    assert made["port"] == 6378
    (shown,) = made["serverCaCerts"]
    ca = x509.load_pem_x509_certificate(shown["cert"].encode())
    assert shown["serialNumber"] == str(ca.serial_number)
    assert shown["sha1Fingerprint"] == ca.fingerprint(SHA1()).hex()  # noqa: S303
    variables = node(api).variables
    assert (variables["port"], variables["encrypted"]) == (6378, True)
    tls = variables["tls"]
    assert isinstance(tls, dict)
    server = x509.load_pem_x509_certificate(tls["certificate"].encode())
    server.verify_directly_issued_by(ca)
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(one) for one in names.get_values_for_type(x509.IPAddress)] == [made["host"]]
    api.post(INSTANCES, {**BODY, "transitEncryptionMode": "SERVER_AUTHENTICATION"}, instanceId="r2")
    assert api.get(f"{INSTANCES}/r2")["serverCaCerts"][0]["cert"] != shown["cert"]
    assert api.patch(f"{INSTANCES}/r1", {"displayName": "x"}, updateMask="displayName")["response"][
        "serverCaCerts"
    ] == [shown]
    assert "serverCaCerts" not in api.post(INSTANCES, BODY, instanceId="r3")["response"]


def test_names(api: Api) -> None:
    create(api)
    with pytest.raises(Refused, match=f"Resource '{NAME}' already exists") as caught:
        create(api)
    assert caught.value.code == 409
    for bad in ("R1", "1r", "r-", "r" * 41, ""):
        with pytest.raises(Refused, match="instance_id"):
            api.post(INSTANCES, BODY, instanceId=bad)


@pytest.mark.behaviour("4.9.2")
def test_a_range_in_use_is_refused(api: Api) -> None:
    create(api, reservedIpRange="10.9.0.0/29")
    with pytest.raises(Refused, match=r"10\.9\.0\.0/29 of Redis instance r2 overlaps"):
        api.post(INSTANCES, {**BODY, "reservedIpRange": "10.9.0.0/29"}, instanceId="r2")
    assert [one["name"] for one in api.get(INSTANCES)["instances"]] == [NAME]


def test_auth_has_a_string_while_it_is_enabled(api: Api) -> None:
    create(api)
    assert api.get(f"{INSTANCES}/r1/authString") == {}
    api.patch(f"{INSTANCES}/r1", {"authEnabled": True}, updateMask="auth_enabled")
    secret = api.get(f"{INSTANCES}/r1/authString")["authString"]
    assert node(api).variables["auth_string"] == secret
    assert len(secret) == 32
    api.patch(f"{INSTANCES}/r1", {"authEnabled": False}, updateMask="authEnabled")
    assert api.get(f"{INSTANCES}/r1/authString") == {}
    assert node(api).variables["auth_string"] is None
    api.patch(f"{INSTANCES}/r1", {"authEnabled": True}, updateMask="authEnabled")
    assert api.get(f"{INSTANCES}/r1/authString")["authString"] != secret


def test_an_update_reaches_the_server(api: Api) -> None:
    create(api)
    assert node(api).variables["settings"] == {"maxmemory-policy": "volatile-lru"}
    configs = {"maxmemory-policy": "allkeys-lfu", "maxmemory-gb": "1.5", "notify-keyspace-events": "Ex"}
    done = api.patch(
        f"{INSTANCES}/r1",
        {"redisConfigs": configs, "memorySizeGb": 2, "displayName": "Cache"},
        updateMask="redis_configs,memory_size_gb,display_name",
    )
    assert done["response"]["redisConfigs"] == configs
    assert done["response"]["displayName"] == "Cache"
    settings = {"maxmemory-policy": "allkeys-lfu", "notify-keyspace-events": "Ex"}
    assert (node(api).variables["settings"], node(api).variables["maxmemory"]) == (settings, 3 << 29)


def test_an_update_names_what_it_changes(api: Api) -> None:
    create(api)
    with pytest.raises(Refused, match="update_mask: must have"):
        api.patch(f"{INSTANCES}/r1", {"displayName": "Cache"})
    with pytest.raises(Refused, match="no field 'tier'"):
        api.patch(f"{INSTANCES}/r1", {"tier": "BASIC"}, updateMask="tier")


def test_basic_tier_does_not_fail_over(api: Api) -> None:
    create(api)
    with pytest.raises(Refused, match="BASIC") as caught:
        api.post(f"{INSTANCES}/r1:failover", {})
    assert caught.value.status == "FAILED_PRECONDITION"
    with pytest.raises(Refused, match=r"redis\.projects\.locations\.instances\.export") as caught:
        api.post(f"{INSTANCES}/r1:export", {})
    assert caught.value.code == 501


def test_regions(api: Api) -> None:
    region = "v1/projects/demo/locations/us-central1"
    found = api.call("GET", region, host="redis.googleapis.com")
    assert (found["name"], found["locationId"]) == (region.removeprefix("v1/"), "us-central1")
    with pytest.raises(Refused, match="Location moon is not found"):
        api.call("GET", "v1/projects/demo/locations/moon", host="redis.googleapis.com")


def test_lists_and_deletion(api: Api) -> None:
    create(api)
    api.post("v1/projects/demo/locations/europe-west1/instances", BODY, instanceId="r2")
    everywhere = api.get("v1/projects/demo/locations/-/instances")["instances"]
    assert [one["name"].rpartition("/")[2] for one in everywhere] == ["r2", "r1"]
    assert [one["name"] for one in api.get(INSTANCES)["instances"]] == [NAME]
    done = api.delete(f"{INSTANCES}/r1")
    assert done["response"] == {"@type": "type.googleapis.com/google.protobuf.Empty"}
    with pytest.raises(Refused, match=f"Resource '{NAME}' was not found") as caught:
        api.get(f"{INSTANCES}/r1")
    assert caught.value.code == 404


@pytest.mark.parametrize("version", ["REDIS_3_2", "REDIS_4_0", "REDIS_5_0", "REDIS_6_X", "REDIS_7_0", "REDIS_7_2"])
def test_all_versions_are_accepted(api: Api, version: str) -> None:
    """The server that is there runs in each case (docs/routes.md)."""
    create(api, redisVersion=version)
    assert api.get(f"{INSTANCES}/r1")["redisVersion"] == version


def test_the_details_say_which_value_is_wrong(api: Api) -> None:
    network = "projects/demo/global/networks/none"
    with pytest.raises(Refused, match="Network name is not valid") as caught:
        create(api, authorizedNetwork=network)
    (detail,) = caught.value.error["details"]
    assert detail["fieldViolations"] == [
        {"field": "instance.authorized_network", "description": f"Invalid value: {network}"}
    ]
