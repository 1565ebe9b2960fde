"""The capacity of connectors, as a topology file says it, and what each machine type has."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from testbed.errors import InvalidArgument
from testbed.model.serverless.capacity import BURSTS, NOMINAL, Capacity, Limits
from testbed.model.topology import Topology
from testbed.topology_export import export
from testbed.topology_file import parse
from tests.unit.topologies import compute, connector, small

OWN = {"megabitsPerSecond": 20, "packetsPerSecond": 1000, "newConnectionsPerSecond": 30, "connections": 40}
FULL_SIZE = 1460


def with_capacity(testbed: Any = None, own: Any = None) -> Topology:
    return small(capacity=testbed, vpcaccess={"connectors": [connector(capacity=own)]})


def effective(testbed: Any = None, own: Any = None) -> Capacity:
    of = with_capacity(testbed, own)
    return of.capacity_of(of.vpcaccess.connectors[0])


def refusal(given: str) -> list[str]:
    text = f"name: t\nproject: p\nregion: us-central1\ncapacity: {given}\n"
    with pytest.raises(InvalidArgument) as caught:
        parse(text, "f.yaml", Path())
    return str(caught.value).splitlines()[1:]


@pytest.mark.behaviour("1.4.1")
def test_machine_types_have_googles_throughput() -> None:
    assert {name: limits.megabits_per_second for name, limits in NOMINAL.items()} == {
        "f1-micro": 50,
        "e2-micro": 100,
        "e2-standard-4": 1600,
    }


@pytest.mark.behaviour("1.4.2")
def test_fields_of_throughput_say_nothing_of_what_an_instance_carries() -> None:
    asked = connector(machineType="f1-micro", minThroughput=400, maxThroughput=900)
    of = small(vpcaccess={"connectors": [asked]})
    (one,) = of.vpcaccess.connectors
    assert one.min_instances == 4
    assert of.capacity_of(one).limits(one.machine_type).megabits_per_second == 50


@pytest.mark.behaviour("1.4.4")
def test_small_types_limit_packets_and_connections_and_full_packets_still_reach_the_rate() -> None:
    for name in ("f1-micro", "e2-micro"):
        limits = NOMINAL[name]
        assert limits.packets_per_second is not None
        assert limits.megabits_per_second is not None
        assert limits.packets_per_second > limits.megabits_per_second * 125_000 / FULL_SIZE
        assert limits.new_connections_per_second
        assert limits.connections
    assert NOMINAL["e2-standard-4"] == Limits(1600)


def test_burst_is_nominal_with_credit() -> None:
    burst = Capacity.model_validate("burst")
    assert burst.limits("e2-micro") == NOMINAL["e2-micro"]._replace(burst=BURSTS["e2-micro"])
    assert burst.limits("f1-micro") == NOMINAL["f1-micro"]


def test_numbers_of_ones_own_limit_what_they_name() -> None:
    assert Capacity.model_validate(OWN).limits("e2-micro") == Limits(20, 1000, 30, 40)
    assert Capacity.model_validate({"connections": 5}).limits("e2-micro") == Limits(connections=5)


@pytest.mark.parametrize(
    ("testbed", "own", "expected"),
    [(None, None, "nominal"), ("off", None, "off"), ("off", "burst", "burst"), (OWN, "nominal", "nominal")],
)
def test_a_connectors_own_capacity_comes_before_that_of_the_testbed(testbed: Any, own: Any, expected: str) -> None:
    assert str(effective(testbed, own)) == expected


@pytest.mark.parametrize("given", ["off", "'off'"])
def test_off_is_a_word_whatever_yaml_says(given: str) -> None:
    read = parse(f"name: t\nproject: p\nregion: us-central1\ncapacity: {given}\n", "f.yaml", Path())
    assert str(read.capacity) == "off"


RULE = "a capacity is nominal, burst, off, or a mapping of at least one limit"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("fast", f"  f.yaml:4: capacity = 'fast': {RULE}"),
        ("5", f"  f.yaml:4: capacity = 5: {RULE}"),
        ("on", f"  f.yaml:4: capacity = on: {RULE}"),
        ("{}", f"  f.yaml:4: capacity: {RULE}"),
        ("{mbps: 5}", "  f.yaml:4: capacity.mbps = 5: unknown key"),
        (
            "{megabitsPerSecond: 0}",
            "  f.yaml:4: capacity.megabitsPerSecond = 0: must be greater than or equal to 1",
        ),
    ],
)
def test_what_is_no_capacity_is_refused(given: str, expected: str) -> None:
    assert refusal(given) == [expected]


@pytest.mark.parametrize(("testbed", "own"), [*product((None, "off", "burst", OWN), repeat=2)])
def test_an_exported_topology_has_the_same_capacities(testbed: Any, own: Any) -> None:
    of = with_capacity(testbed, own)
    text = export(of)
    assert parse(text, "f.yaml", Path()) == of
    assert ("capacity" in yaml.safe_load(text)) is (testbed is not None)


@pytest.mark.parametrize("given", ["nominal", "burst", "off", False, OWN, {"packets-per-second": 100}, None])
def test_the_schema_takes_what_is_read(given: Any) -> None:
    validator = Draft202012Validator(Topology.model_json_schema(by_alias=True))
    assert validator.is_valid({"name": "t", "project": "p", "capacity": given, "compute": compute()})


@pytest.mark.parametrize("given", ["fast", True, 5, {"mbps": 5}, {"profile": "off"}])
def test_the_schema_refuses_what_is_refused(given: Any) -> None:
    validator = Draft202012Validator(Topology.model_json_schema(by_alias=True))
    assert not validator.is_valid({"name": "t", "project": "p", "capacity": given})


def test_a_word_is_the_only_way_to_a_profile_that_a_file_has() -> None:
    with pytest.raises(ValidationError):
        Capacity.model_validate({"profile": "off", "connections": 5})
