"""What a capacity is in the plan: buckets, classes, chains."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.fabric.plan import GSO_MAX_SEGS, Htb, Plan, Tbf
from testbed.fabric.serverless.capacity import bucket, chains, segments
from testbed.fabric.serverless.region import RETURN, TUNNEL
from testbed.model.serverless.capacity import NOMINAL, Limits
from tests.unit.topologies import connector, plan, small, space, table_rules

INSTANCE = "c1-0001"
FULL_SIZE, HEADER = 1460, 14


def nominal(machine: str = "e2-micro") -> Plan:
    return plan(small(vpcaccess={"connectors": [connector(machineType=machine)]}))


def end_to(of: Plan, instance: str) -> int:
    """How many segments the network's device to an instance leaves in a packet."""
    ends = (end for veth in of.veths for end in (veth.a, veth.b))
    return next(end.interface.gso_max_segs for end in ends if end.interface.name == instance)


@pytest.mark.behaviour("1.4.1")
@pytest.mark.parametrize(("machine", "rate"), [("f1-micro", 6_250_000), ("e2-micro", 12_500_000)])
def test_an_instance_has_a_bucket_for_each_direction(machine: str, rate: int) -> None:
    back, forward = sorted(space(nominal(machine), INSTANCE).qdiscs, key=lambda one: one.device, reverse=True)
    assert isinstance(back, Tbf)
    assert isinstance(forward, Htb)
    (to_network,) = forward.classes
    assert (back.device, back.bucket.rate, back.bucket.mpu) == (RETURN, rate, 625)
    assert (forward.device, to_network.bucket.rate) == ("eth0", round(rate * 1474 / 1460))
    assert back.queue == rate * 0.05


def test_what_goes_into_the_network_is_in_the_class_before_any_rule_decides() -> None:
    first, *_ = table_rules(space(nominal(), INSTANCE), "filter", "FORWARD")
    assert first == f"-i {TUNNEL} -o eth0 -j CLASSIFY --set-class 7462:0001"


@pytest.mark.parametrize(("machine", "expected"), [("e2-micro", 1), ("e2-standard-4", GSO_MAX_SEGS)])
def test_packets_are_cut_where_they_are_counted(machine: str, expected: int) -> None:
    assert end_to(nominal(machine), INSTANCE) == expected


def test_without_limits_an_instance_is_as_the_kernel_makes_it() -> None:
    of = plan(small(capacity="off"))
    instance = space(of, INSTANCE)
    assert instance.qdiscs == frozenset()
    assert not any("CLASSIFY" in rule or "CONFIRMED" in rule for rule in table_rules(instance, "filter", "FORWARD"))
    assert end_to(of, INSTANCE) == GSO_MAX_SEGS


@given(
    megabits=st.none() | st.integers(1, 30_000), packets=st.none() | st.integers(10, 1_000_000),
    header=st.sampled_from([0, HEADER]),
)  # fmt: skip
def test_both_limits_hold_for_every_size(megabits: int | None, packets: int | None, header: int) -> None:
    """Neither is passed by packets of any size, and one of them is reached by the largest and the smallest."""
    made = bucket(Limits(megabits, packets), header)
    if megabits is None and packets is None:
        assert made is None
        return
    assert made is not None
    assert made.rate < 1 << 32
    assert made.mpu < 1 << 16
    assert made.burst % 1024 == 0
    for size in (40, 625, FULL_SIZE):
        per_second = made.rate / max(size + header, made.mpu)
        if packets is not None:
            assert per_second <= packets
        if megabits is not None and size == FULL_SIZE:
            assert per_second * size * 8 <= megabits * 1e6 * 1.001
    full = made.rate / max(FULL_SIZE + header, made.mpu)
    reached = [full * FULL_SIZE * 8 / (megabits * 1e6)] if megabits else []
    reached += [full / packets] if packets else []
    assert max(reached) == pytest.approx(1, rel=0.02)


def test_burst_lasts_for_its_seconds() -> None:
    of = plan(small(capacity="burst"))
    (back,) = (one for one in space(of, INSTANCE).qdiscs if isinstance(one, Tbf))
    assert back.bucket.peak == 255 * 125_000
    assert back.bucket.burst / (back.bucket.peak - back.bucket.rate) == pytest.approx(30, rel=1e-3)


@given(st.integers(1, 100_000))
def test_the_lists_of_connections_have_room_for_all_together(connections: int) -> None:
    first, *lists = chains(Limits(connections=connections))
    sizes = [int(chain.rules[0].split("--connlimit-above ")[1].split()[0]) for chain in lists]
    assert sum(sizes) == connections
    assert max(sizes) <= 512
    assert max(sizes) - min(sizes) <= 1
    assert [rule.split("-g ")[1] for rule in first.rules] == [chain.name for chain in lists]


@given(st.integers(1, 1_000_000))
def test_the_rate_of_new_connections_is_one_that_the_kernel_prints(wanted: int) -> None:
    (chain,) = chains(Limits(new_connections_per_second=wanted))
    rate = int(chain.rules[0].split("--hashlimit-above ")[1].split("/")[0])
    assert 1_000_000 // rate == 1_000_000 // wanted  # the microseconds between two
    assert 1_000_000 // (1_000_000 // rate) == rate


def test_every_machine_type_can_be_compiled() -> None:
    for limits in NOMINAL.values():
        assert bucket(limits) is not None
        assert segments(limits) in {1, GSO_MAX_SEGS}
