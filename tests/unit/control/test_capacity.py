"""The capacity of connectors of a testbed that runs: how it is changed, and what a kernel has to have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from testbed.control.lifecycle import CONNECTOR
from testbed.control.realise import capacity
from testbed.control.state.store import Store
from testbed.errors import Aborted, InvalidArgument, NotFound, Unimplemented
from testbed.kernel.capabilities import PROBES
from testbed.model.serverless.capacity import Limits
from tests.unit.topologies import connector, small

TWO = {"connectors": [connector(), connector("c2", "10.9.0.0/28")]}


@pytest.fixture
def store(state: Path) -> Iterator[Store]:
    del state
    with Store.open("bed", create=True) as opened:
        opened.replace_topology(small(vpcaccess=TWO))
        yield opened


def capacities(store: Store) -> dict[str, str]:
    of = store.topology
    assert of is not None
    return {one.id: str(of.capacity_of(one)) for one in of.vpcaccess.connectors}


def change(store: Store, name: str | None, given: Any) -> None:
    capacity.change(store, name, capacity.parsed(given))


def test_all_connectors_or_one_get_another_capacity_and_have_it_taken_back(store: Store) -> None:
    assert capacities(store) == {"c1": "nominal", "c2": "nominal"}
    change(store, None, "off")
    change(store, "c1", {"connections": 5})
    assert capacities(store) == {"c1": "connections=5", "c2": "off"}
    change(store, None, None)
    assert capacities(store) == {"c1": "connections=5", "c2": "nominal"}
    change(store, "c1", None)
    assert capacities(store) == {"c1": "nominal", "c2": "nominal"}


def test_a_connector_is_named_by_its_full_name_too(store: Store) -> None:
    change(store, "projects/p/locations/us-central1/connectors/c2", "burst")
    assert capacities(store) == {"c1": "nominal", "c2": "burst"}


def test_a_connector_that_is_not_there_is_named_with_those_that_are(store: Store) -> None:
    with pytest.raises(NotFound, match=r"connector 'c3': not found \(connectors: c1, c2\)"):
        change(store, "c3", "off")


def test_a_connector_that_an_operation_is_at_work_on_is_left_alone(store: Store) -> None:
    (record, _) = store.resources.of(CONNECTOR)
    store.resources.put(replace(record, pending="operation"))
    with pytest.raises(Aborted, match="connector 'c1': an operation is under way"):
        change(store, "c1", "off")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("fast", "capacity = 'fast': a capacity is nominal, burst, off, or a mapping of at least one limit"),
        ({"mbps": 5}, "capacity.mbps = 5: unknown key"),
    ],
)
def test_what_is_no_capacity_is_refused(given: Any, said: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        capacity.parsed(given)
    assert caught.value.message == said


@pytest.mark.parametrize(
    ("limits", "needed"),
    [
        (Limits(), set()),
        (Limits(5), {"sch_tbf", "sch_htb", "xt_CLASSIFY"}),
        (Limits(None, 5), {"sch_tbf", "sch_htb", "xt_CLASSIFY"}),
        (Limits(None, None, 5), {"xt_hashlimit"}),
        (Limits(None, None, None, 5), {"xt_connlimit"}),
    ],
)
def test_limits_need_what_the_doctor_looks_for(limits: Limits, needed: set[str]) -> None:
    assert capacity.needs(limits) == needed
    assert needed <= {probe.name for probe in PROBES}


def lacking(monkeypatch: pytest.MonkeyPatch, found: Mapping[str, str]) -> None:
    monkeypatch.setattr(capacity, "_refusals", lambda: found)


def test_a_kernel_that_cannot_enforce_a_capacity_is_told_by_what_it_lacks(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    lacking(monkeypatch, {"sch_htb": "unknown kind"})
    with pytest.raises(Unimplemented) as caught:
        change(store, "c1", "burst")
    assert caught.value.message == "connector c1: capacity burst needs sch_htb, which this kernel lacks: unknown kind"
    assert "capacity: off" in str(caught.value.hint)
    assert capacities(store)["c1"] == "nominal"  # nothing was changed


def test_a_kernel_without_anything_takes_what_has_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    lacking(monkeypatch, {probe.name: "no" for probe in PROBES})
    capacity.require(small(capacity="off"))
