"""The connector resource: behaviour chapter 1."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from testbed.model.serverless.connector import Connector
from tests.unit.topologies import KNOWN, connector

PATTERN = "Connector ID must follow the pattern ^[a-z][-a-z0-9]{0,23}[a-z0-9]$"


def read(**fields: Any) -> Connector:
    return Connector.model_validate({**connector(), **fields}, context=KNOWN)


def refusal(**fields: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        read(**fields)
    (error,) = caught.value.errors()
    return error["msg"].removeprefix("Value error, ")


@pytest.mark.behaviour("1.5.1", "5.3.4")
@pytest.mark.parametrize("name", ["c1", "a" * 25, "my-connector-9", "a--b"])
def test_an_id_of_2_to_25_characters_is_accepted(name: str) -> None:
    assert read(name=name).id == name


@pytest.mark.behaviour("1.5.1")
@pytest.mark.parametrize("name", ["c", "a" * 26, "1c", "c-", "-c", "C1", "c_1", "c1\n", "cé"])
def test_any_other_id_is_refused_in_googles_words(name: str) -> None:
    assert refusal(name=name) == PATTERN


@pytest.mark.behaviour("1.2.1")
def test_a_short_name_is_completed() -> None:
    assert read().name == "projects/p/locations/us-central1/connectors/c1"
    assert read().network == "projects/p/global/networks/vpc"
    assert read(name="projects/q/locations/europe-west1/connectors/c1").region == "europe-west1"


@pytest.mark.behaviour("1.2.2")
def test_network_defaults_are_left_to_the_client() -> None:  # behaviour 1.2.2: gcloud sends `default`, the API does not
    assert "either network and ipCidrRange, or subnet" in refusal(network=None)


@pytest.mark.behaviour("1.2.3", "1.6.1")
@pytest.mark.parametrize("cidr", ["10.8.0.0/27", "10.8.0.0/29"])
def test_the_range_is_a_28(cidr: str) -> None:
    assert refusal(ipCidrRange=cidr) == "the range of a connector must be a /28"


@pytest.mark.behaviour("1.6.7")
@pytest.mark.parametrize("cidr", ["100.64.0.0/28", "240.0.0.0/28", "172.16.5.16/28"])
def test_the_range_need_not_be_rfc_1918(cidr: str) -> None:
    assert read(ipCidrRange=cidr).ip_cidr_range == cidr


@pytest.mark.behaviour("1.6.11", "4.4.4")
@pytest.mark.parametrize("cidr", ["127.0.0.0/28", "224.0.0.0/28", "35.199.224.0/28", "35.191.1.0/28", "169.254.0.0/28"])
def test_the_range_is_none_that_no_subnet_may_have(cidr: str) -> None:
    assert "which no subnet may use" in refusal(ipCidrRange=cidr)


def test_the_range_begins_at_a_multiple_of_16() -> None:
    assert "host bits set" in refusal(ipCidrRange="10.8.0.1/28")


@pytest.mark.behaviour("1.2.5")
def test_subnet_and_range_are_alternatives() -> None:
    assert read(subnet={"name": "s"}, network=None, ipCidrRange=None).subnet is not None
    for mixed in ({"subnet": {"name": "s"}}, {"network": None}, {"ipCidrRange": None}):
        assert refusal(**mixed).startswith("either network and ipCidrRange, or subnet must be given")


@pytest.mark.behaviour("1.2.6")
def test_machine_types() -> None:
    assert read().machine_type == "e2-micro"
    assert [read(machineType=t).machine_type for t in ("f1-micro", "e2-standard-4")] == ["f1-micro", "e2-standard-4"]
    assert "'e2-micro', 'f1-micro' or 'e2-standard-4'" in refusal(machineType="n1-standard-1")


@pytest.mark.behaviour("1.2.7", "1.2.8")
def test_instances_default_to_2_and_10() -> None:
    assert (read().min_instances, read().max_instances) == (2, 10)


@pytest.mark.behaviour("1.2.7", "1.2.8")
@pytest.mark.parametrize(("least", "most"), [(2, 3), (9, 10), (3, 7)])
def test_instances_within_the_limits(least: int, most: int) -> None:
    made = read(minInstances=least, maxInstances=most)
    assert (made.min_instances, made.max_instances) == (least, most)


@pytest.mark.behaviour("1.2.7", "1.2.8")
@pytest.mark.parametrize(
    ("least", "most", "rule"),
    [
        (1, 10, "greater than or equal to 2"),
        (10, 10, "less than or equal to 9"),
        (2, 2, "greater than or equal to 3"),
        (2, 11, "less than or equal to 10"),
        (5, 5, "minInstances (5) must be less than maxInstances (5)"),
        (6, 5, "minInstances (6) must be less than maxInstances (5)"),
    ],
)
def test_instances_beyond_the_limits(least: int, most: int, rule: str) -> None:
    assert rule in refusal(minInstances=least, maxInstances=most)


@pytest.mark.behaviour("1.3.1")
@pytest.mark.parametrize("machine", ["f1-micro", "e2-micro", "e2-standard-4"])
def test_throughput_is_a_hundred_per_instance_whatever_the_machine(machine: str) -> None:
    made = read(machineType=machine, minThroughput=400, maxThroughput=800)
    assert (made.min_instances, made.max_instances) == (4, 8)


@pytest.mark.behaviour("1.3.2")
def test_instances_win_over_throughput() -> None:
    made = read(minThroughput=200, maxThroughput=300, minInstances=5, maxInstances=7)
    assert (made.min_instances, made.max_instances) == (5, 7)


@pytest.mark.behaviour("1.2.9")
@pytest.mark.parametrize("throughput", [100, 250, 1000])
def test_throughput_is_a_multiple_of_100_within_the_limits(throughput: int) -> None:
    with pytest.raises(ValidationError, match="minThroughput"):
        read(minThroughput=throughput, minInstances=2)


@pytest.mark.behaviour("2.4.1", "2.4.3")
def test_tags_keep_the_hyphens() -> None:
    made = read(name="projects/p/locations/asia-east1/connectors/oday-staging-vpc")
    assert made.network_tags == ("vpc-connector", "vpc-connector-asia-east1-oday-staging-vpc")


@pytest.mark.behaviour("1.5.3")
@pytest.mark.parametrize(
    ("region", "name", "prefix"),
    [
        ("us-central1", "subnet-1", "aet-uscentral1-subnet--1"),
        ("europe-west9", "connecteurdesktop", "aet-europewest9-connecteurdesktop"),
    ],
)
def test_helper_resources_double_the_names_hyphens(region: str, name: str, prefix: str) -> None:
    assert read(name=f"projects/p/locations/{region}/connectors/{name}").resource_prefix == prefix


@pytest.mark.behaviour("1.5.2", "1.5.4")
@pytest.mark.parametrize(
    ("name", "refused"), [("a" * 20, False), ("a" * 21, True), ("a-" * 6 + "aa", False), ("a-" * 7 + "a", True)]
)
def test_the_console_counts_a_hyphen_twice(name: str, refused: bool) -> None:
    assert read(name=name).console_would_refuse is refused


def test_gclouds_flags_are_read() -> None:
    flags = {"name": "c1", "network": "vpc", "range": "10.8.0.0/28", "min-instances": 3, "machine-type": "f1-micro"}
    assert Connector.model_validate(flags, context=KNOWN) == read(minInstances=3, machineType="f1-micro")
