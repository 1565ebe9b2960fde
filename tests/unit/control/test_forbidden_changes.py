"""Changes of a running testbed that Google would refuse."""

from __future__ import annotations

from typing import Any

import pytest

from testbed.control.accept.forbidden_changes import check
from testbed.errors import InvalidArgument
from testbed.model.topology import Topology
from tests.unit.topologies import compute, connector, network, small, subnet


def with_connector(**fields: Any) -> Topology:
    networks = [network(), network("other")]
    subnets = [subnet(), subnet("s28", "10.9.0.0/28"), subnet("t28", "10.9.0.16/28")]
    return small(
        compute=compute(networks=networks, subnetworks=subnets), vpcaccess={"connectors": [{**connector(), **fields}]}
    )


def test_a_new_testbed_may_be_anything() -> None:
    check(None, small())


def test_nothing_changed_is_fine() -> None:
    check(small(), small())


@pytest.mark.parametrize("name", ["connector removed", "connector added"])
def test_connectors_come_and_go(name: str) -> None:
    without, present = small(vpcaccess={}, run={}), small()
    check(*((present, without) if name == "connector removed" else (without, present)))


@pytest.mark.behaviour("1.8.1")
@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"network": "other"}, "network"),
        ({"ipCidrRange": "10.8.0.16/28"}, "ipCidrRange"),
        ({"network": None, "ipCidrRange": None, "subnet": {"name": "s28"}}, "network"),
    ],
)
def test_what_cannot_be_changed(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidArgument, match=f"connector c1: {named} cannot be changed") as caught:
        check(with_connector(), with_connector(**fields))
    assert "another name" in (caught.value.hint or "")


@pytest.mark.behaviour("1.8.1")
def test_the_subnet_cannot_be_changed() -> None:
    here, there = (with_connector(network=None, ipCidrRange=None, subnet={"name": name}) for name in ("s28", "t28"))
    with pytest.raises(InvalidArgument, match="connector c1: subnet cannot be changed"):
        check(here, there)


@pytest.mark.behaviour("1.8.5")
@pytest.mark.parametrize("machine", ["f1-micro", "e2-standard-4"])
def test_the_machine_type_may_change(machine: str) -> None:
    check(with_connector(), with_connector(machineType=machine))


@pytest.mark.behaviour("1.8.2")
@pytest.mark.parametrize(("least", "most"), [(4, 7), (3, 8), (5, 9), (3, 7)])
def test_instances_may_grow(least: int, most: int) -> None:
    check(with_connector(minInstances=3, maxInstances=7), with_connector(minInstances=least, maxInstances=most))


@pytest.mark.behaviour("1.8.2")
@pytest.mark.parametrize(("least", "most"), [(2, 7), (3, 6), (2, 6), (4, 6), (2, 8)])
def test_instances_may_not_shrink(least: int, most: int) -> None:
    text = "Decreasing the number of instances for existing connectors is not supported"
    with pytest.raises(InvalidArgument, match=rf"{text} \(from 3\.\.7 to {least}\.\.{most}\)"):
        check(with_connector(minInstances=3, maxInstances=7), with_connector(minInstances=least, maxInstances=most))


def test_a_connector_of_another_region_is_another_connector() -> None:
    there = connector("projects/p/locations/europe-west1/connectors/c1", "10.8.0.16/28")
    check(small(), small(vpcaccess={"connectors": [there]}, run={}))
