"""Keys of what is given out: which of them are one, and that the state keeps them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from testbed.control.state.store import Store
from testbed.fabric.allocation.addressing import allocate
from testbed.fabric.allocation.allocations import Allocations
from testbed.fabric.allocation.keys import (
    AddressKey,
    ContainerInstance,
    Key,
    NameKey,
    RangeKey,
    container_instances,
)
from tests.unit.topologies import example, service, small

ONE = ContainerInstance("x", 0)
ADDRESSES = [
    AddressKey.instance("projects/p/zones/z/instances/x"),
    AddressKey.external("x"),
    AddressKey.reserved("projects/p/regions/r/addresses/x"),
    AddressKey.interface(ONE),
    AddressKey.outer(ONE),
    AddressKey.front_end(),
    AddressKey.front_end_in("internet"),
    AddressKey.load_generator(),
    AddressKey.internet_host("x"),
    AddressKey.site_gateway("x"),
    AddressKey.nat("x", "n", 0),
    AddressKey.vpn_interface("x", 0),
    AddressKey.name_server("x"),
    AddressKey.inside("x"),
    AddressKey.inside_site("x", 0),
]
RANGES = [RangeKey.outer_share("x"), RangeKey.egress_pool("x"), RangeKey.redis("x")]
NAMES = [
    NameKey.node("projects/p/zones/z/instances/x"),
    NameKey.runtime(ONE),
    NameKey.name_server(),
    NameKey.internet_host("x"),
    NameKey.site_host("x", "x"),
    NameKey.site_end("x", 0),
    NameKey.network("x"),
    NameKey.google("x"),
    NameKey.edge("x"),
    NameKey.nat("x", "x"),
    NameKey.producer("x"),
    NameKey.region("x"),
    NameKey.site("x"),
]


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TESTBED_STATE", str(tmp_path))


@pytest.mark.parametrize(("kind", "keys"), [(AddressKey, ADDRESSES), (RangeKey, RANGES), (NameKey, NAMES)])
def test_each_use_has_a_constructor_of_its_own(kind: type[Key], keys: list[Key]) -> None:
    """Whatever owners are called, no two of them are one; only full names of resources stand for themselves."""
    made = {name for name, value in vars(kind).items() if isinstance(value, classmethod)}
    assert len(keys) == len(made)
    uses = Counter(key.use for key in keys)
    del uses[""]
    assert not uses or max(uses.values()) == 1


def test_keys_of_different_types_differ() -> None:
    pairs: list[tuple[Key, Key]] = [
        (AddressKey.instance("x"), NameKey.node("x")),
        (RangeKey.redis("x"), AddressKey("range", "x")),
    ]
    assert [one for one, other in pairs if one == other] == []


def test_revisions_and_instances_have_keys_of_their_own() -> None:
    ids = [ContainerInstance("w", number, revision) for revision in ("", "w-00001", "w-00002") for number in range(3)]
    for make in (AddressKey.outer, AddressKey.interface, NameKey.runtime):
        assert len({make(one) for one in ids}) == len(ids)
    (workload,) = small(run={"services": [service("web", instances=2)]}).workloads
    assert container_instances(workload) == [ContainerInstance(workload.name, number) for number in (0, 1)]


def test_errors_name_the_owner() -> None:
    instance = "projects/p/zones/z/instances/x"
    assert str(AddressKey.instance(instance)) == instance
    assert str(AddressKey.external(instance)) == f"{instance}/external"
    assert str(AddressKey.nat("routers/r", "n", 1)) == "routers/r/nats/n/1"


def test_nodes_are_those_of_a_resource_and_of_what_is_below_it() -> None:
    service, version = "apps/p/services/s", "apps/p/services/s/versions/v"
    names = {
        NameKey.runtime(ContainerInstance(version, 0)): "s",
        NameKey.runtime(ContainerInstance(version, 1)): "s-2",
        NameKey.runtime(ContainerInstance("apps/p/services/s2/versions/v", 0)): "s2",
        NameKey.network("n"): "vpc-n",
        NameKey.edge("n"): "edge-n",
        NameKey.nat("r", "x"): "nat-x",
    }
    given = Allocations(names=names)
    assert given.nodes(service) == given.nodes(version) == {"s", "s-2"}
    assert [given.nodes(one) for one in "nrx"] == [frozenset({"vpc-n"}), frozenset({"nat-x"}), frozenset()]
    assert (given.networks(), given.edges()) == (["vpc-n"], {"edge-n": "n"})


def test_the_state_keeps_what_was_given_out() -> None:
    given = allocate(example(), Allocations())
    further = ContainerInstance("w", 3, "w-00002")
    given = Allocations(
        {**given.addresses, AddressKey.outer(further): "35.199.224.9"},
        given.ranges,
        {**given.names, NameKey.edge("n"): "e"},
    )
    with Store.open("bed", create=True) as store:
        store.allocations.replace(given)
    with Store.open("bed") as store:
        assert store.running.allocations == given
