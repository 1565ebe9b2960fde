"""Which instances a connector gets, and when one is given up."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from testbed.control.connectors import (
    FIRST_PAUSE,
    LONGEST_PAUSE,
    PATIENCE,
    RANGE_CONFLICT,
    Outcome,
    Replacer,
    additions,
    deleted,
    next_outdated,
    outcome,
    outdated,
    refusal,
    replacements,
)
from testbed.errors import InvalidArgument
from testbed.fabric.allocation.running import ConnectorInstance, ConnectorState, Health
from tests.unit.topologies import CONNECTOR, Serial, connector, instances, small

OTHER = "projects/p/locations/us-central1/connectors/c2"


def instance(serial: int, health: Health = "healthy", of: str = CONNECTOR) -> ConnectorInstance:
    name = of.rsplit("/", 1)[1]
    return ConnectorInstance(f"{name}-{serial:04d}", of, f"10.8.0.{serial + 1}", health)


# -- what becomes of one ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "health", "patient", "expected"),
    [
        ("CREATING", ["healthy", "healthy"], True, Outcome.READY),
        ("CREATING", ["healthy", "starting"], True, Outcome.WAITING),
        ("CREATING", ["unhealthy", "unhealthy"], True, Outcome.WAITING),  # a replacement may get healthy
        ("CREATING", ["healthy", "starting"], False, Outcome.READY),  # one carries all
        ("CREATING", ["unhealthy", "starting"], False, Outcome.FAILED),
        ("READY", ["unhealthy", "starting"], True, Outcome.WAITING),
        ("READY", ["unhealthy", "healthy"], True, Outcome.READY),  # replacements can take for ever
        ("READY", ["unhealthy", "unhealthy"], True, Outcome.FAILED),
    ],
)
@pytest.mark.behaviour("1.7.5")
def test_what_becomes_of_a_connector(
    state: ConnectorState, health: list[Health], patient: bool, expected: Outcome
) -> None:
    present = [instance(serial, one) for serial, one in enumerate(health)]
    assert outcome(state, present, patient=patient) is expected


# -- how many ---------------------------------------------------------------------------------------------------------


@pytest.mark.behaviour("1.2.7")
def test_a_connector_begins_with_its_minimum() -> None:
    of = small(vpcaccess={"connectors": [connector(minInstances=3)]})
    assert list(additions(of, (), Serial())) == [instance(n, "starting") for n in (1, 2, 3)]


def test_what_is_there_already_counts() -> None:
    serial = Serial()
    present = list(additions(small(), (), serial))
    assert list(additions(small(), present, serial)) == []
    (new,) = additions(small(), present[1:], serial)
    assert (new.name, new.address) == ("c1-0003", "10.8.0.2")


@pytest.mark.behaviour("1.9.1")
def test_a_connector_does_not_shrink() -> None:
    of = small(vpcaccess={"connectors": [connector(minInstances=5)]})
    assert list(additions(small(), instances(of), Serial())) == []


def test_each_connector_has_its_own_instances() -> None:
    of = small(vpcaccess={"connectors": [connector(), connector("c2", "10.8.0.16/28")]})
    assert [(i.name, i.address) for i in additions(of, (), Serial())] == [
        ("c1-0001", "10.8.0.2"),
        ("c1-0002", "10.8.0.3"),
        ("c2-0001", "10.8.0.18"),
        ("c2-0002", "10.8.0.19"),
    ]


def test_connectors_that_are_no_longer_wanted() -> None:
    assert deleted(small(), [CONNECTOR, OTHER]) == [OTHER]


# -- replacement ------------------------------------------------------------------------------------------------------


def test_a_replacement_has_an_address_and_a_name_of_its_own() -> None:
    serial = Serial()
    present = list(additions(small(), (), serial))
    ((old, new),) = replacements(small(), present, present[:1], serial)
    assert (old.name, new.name) == ("c1-0001", "c1-0003")
    assert new.address not in {i.address for i in present}
    assert new.health == "starting"


@pytest.mark.behaviour("1.6.10")
@pytest.mark.parametrize(("count", "replaced"), [(2, 2), (6, 6), (7, 5), (9, 3)])
def test_as_many_are_replaced_as_have_room(count: int, replaced: int) -> None:  # behaviour 1.6.10: twelve addresses
    of = small(vpcaccess={"connectors": [connector(minInstances=count)]})
    serial = Serial()
    present = list(additions(of, (), serial))
    pairs = list(replacements(of, present, present, serial))
    assert len(pairs) == replaced
    assert len({new.address for _, new in pairs} | {i.address for i in present}) == count + replaced


def test_an_unhealthy_instance_is_given_up_at_once() -> None:
    assert Replacer().given_up([instance(1, "unhealthy"), instance(2)], now=0) == [instance(1, "unhealthy")]


def test_healthy_ones_are_kept() -> None:
    replacer = Replacer()
    assert [replacer.given_up([instance(1), instance(2)], now) for now in range(100)] == [[]] * 100


def test_a_new_instance_has_time_to_get_healthy() -> None:
    replacer = Replacer()
    starting = instance(1, "starting")
    assert [replacer.given_up([starting], now) for now in (5.0, 5.0 + PATIENCE)] == [[], []]
    assert replacer.given_up([starting], 5.1 + PATIENCE) == [starting]


def test_an_instance_that_was_replaced_does_not_make_the_new_one_late() -> None:
    replacer = Replacer()
    replacer.given_up([instance(1, "starting")], 0)
    assert replacer.given_up([instance(2, "starting")], PATIENCE + 1) == []


def pauses(replacer: Replacer, others: list[ConnectorInstance], until: float) -> list[float]:
    """The times between replacements if no replacement gets healthy; the replacer is asked every half second."""
    times = [
        step / 2
        for step in range(int(until * 2))
        if replacer.given_up([*others, instance(step + 10, "unhealthy")], step / 2)
    ]
    return [later - earlier for earlier, later in pairwise(times)]


@pytest.mark.parametrize("others", [[], [instance(1)]], ids=["alone", "beside a healthy one"])
def test_vain_replacements_are_made_ever_more_seldom(others: list[ConnectorInstance]) -> None:
    found = pauses(Replacer(), others, 400)
    assert found[:6] == [FIRST_PAUSE * 2**n for n in range(5)] + [LONGEST_PAUSE]
    assert set(found[5:]) == {LONGEST_PAUSE}


def test_the_order_of_the_instances_does_not_matter() -> None:
    replacer = Replacer()
    broken = instance(1, "unhealthy")
    assert replacer.given_up([broken, instance(2)], 0) == [broken]
    assert replacer.given_up([broken, instance(2)], 1) == []
    assert replacer.given_up([instance(2), broken], 1.5) == []


def test_success_ends_the_caution() -> None:
    replacer = Replacer()
    pauses(replacer, [], 60)
    assert replacer.given_up([instance(200)], 61) == []
    broken = instance(200, "unhealthy")
    assert replacer.given_up([broken], 61.5) == [broken]
    assert replacer.given_up([replace(broken, name="c1-0201")], 61.5 + FIRST_PAUSE) != []


def test_one_connectors_trouble_is_not_anothers() -> None:
    replacer = Replacer()
    pauses(replacer, [], 60)
    there = instance(1, "unhealthy", OTHER)
    assert replacer.given_up([instance(300, "unhealthy"), there], 60.5) == [there]


# -- another machine type ---------------------------------------------------------------------------------------------


@pytest.mark.behaviour("1.8.5")
def test_one_instance_after_the_other_is_replaced_for_a_machine_type() -> None:
    of = small(vpcaccess={"connectors": [connector(machineType="f1-micro", minInstances=3)]})
    serial = Serial()
    present = [replace(one, health="healthy", machine_type="e2-micro") for one in additions(of, (), serial)]
    order = []
    while gone := list(next_outdated(of, present)):
        ((old, new),) = replacements(of, present, gone, serial)
        order.append(old.name)
        present = [new if one is old else one for one in present]
        assert list(next_outdated(of, present)) == []  # until the new one carries traffic
        present = [replace(one, health="healthy") for one in present]
    assert order == ["c1-0001", "c1-0002", "c1-0003"]
    assert {one.machine_type for one in present} == {"f1-micro"}
    assert outdated({"machineType": "f1-micro"}, present) == []
    assert outdated({}, present) == present  # the default is e2-micro


@pytest.mark.behaviour("1.6.6", "4.3.5")
@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("the range 10.8.0.0/28 of connector c2 overlaps 10.8.0.0/28 of connector c1", RANGE_CONFLICT),
        ("10.8.0.0/29 hides the address space of the network (10.8.0.0/28).", RANGE_CONFLICT),
        ("small is 10.0.0.0/24, not a /28", "Operation failed: small is 10.0.0.0/24, not a /28"),
    ],
)
def test_what_an_operation_says(message: str, expected: str) -> None:
    assert refusal(InvalidArgument(message)) == expected
