"""Faults on demand: what is asked to go wrong does, so often, with what Google says then."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any, cast

import pytest
from typer.testing import CliRunner

from testbed.cli import app
from testbed.control.accept.plane import STUCK
from testbed.control.channel.listener import Service, listening
from testbed.control.commands import Commands
from testbed.control.state.faults import Fault, fault
from testbed.errors import InvalidArgument, NotFound
from tests.api.harness import Api, Refused
from tests.waiting import PATIENCE

COMPUTE = "compute/v1/projects/demo"
NETWORKS = f"{COMPUTE}/global/networks"
CONNECTORS = "v1/projects/demo/locations/us-central1/connectors"
BODY = {"network": "vpc", "ipCidrRange": "10.8.0.0/28", "maxInstances": 3}


def network(api: Api, name: str = "vpc") -> dict[str, Any]:
    return api.post(NETWORKS, {"name": name, "autoCreateSubnetworks": False})


def add(api: Api, kind: str, **given: Any) -> Fault:
    return api.store.faults.add(fault(kind, **given))


@pytest.mark.parametrize(
    ("pattern", "fits"),
    [
        ("compute.networks.insert", True),
        ("networks.insert", True),
        ("*.insert", True),
        ("*", True),
        ("networks.get networks.insert", True),
        ("compute.firewalls.insert", False),
        ("works.insert", False),
        ("networks.delete", False),
    ],
)
def test_methods_are_matched_by_patterns(pattern: str, fits: bool) -> None:
    found = fault("error", method=pattern)
    assert found.fits("compute.networks.insert", "projects/demo/global/networks/vpc") is fits


@pytest.mark.parametrize(
    ("pattern", "fits"), [("vpc", True), ("v*", True), ("projects/demo/*", True), ("*", True), ("c1", False)]
)
def test_resources_are_matched_by_name(pattern: str, fits: bool) -> None:
    found = fault("error", resource=pattern)
    assert found.fits("compute.networks.insert", "projects/demo/global/networks/vpc") is fits


@pytest.mark.parametrize(
    "given", [{"kind": "flood"}, {"kind": "error", "code": "E_NOENT"}, {"kind": "error", "left": -1}]
)
def test_what_is_no_fault(given: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        fault(**given)


def test_the_next_create_is_refused_and_the_one_after_it_is_not(api: Api) -> None:
    add(api, "error", code="UNAVAILABLE", message="try again")
    with pytest.raises(Refused, match="try again") as caught:
        network(api)
    assert caught.value.code == 503
    assert api.store.faults.all() == []
    network(api)


def test_it_strikes_what_it_fits_and_so_often(api: Api) -> None:
    add(api, "error", left=2, resource="bad-*")
    network(api, "good")
    for _ in range(2):
        with pytest.raises(Refused) as caught:
            network(api, "bad-one")
        assert (caught.value.code, caught.value.message) == (500, "Internal error encountered.")
    network(api, "bad-one")


def test_any_method_can_be_refused_for_ever(api: Api) -> None:
    network(api)
    add(api, "error", method="compute.networks.get", resource="vpc", left=0, code="NOT_FOUND")
    for _ in range(3):
        with pytest.raises(Refused) as caught:
            api.get(f"{NETWORKS}/vpc")
        assert caught.value.code == 404
    assert len(api.get(NETWORKS)["items"]) == 1
    api.store.faults.remove()
    api.get(f"{NETWORKS}/vpc")


def test_the_id_of_a_create_is_what_is_matched(api: Api) -> None:
    network(api)
    add(api, "error", method="connectors.create", resource="c2")
    api.post(CONNECTORS, BODY, connectorId="c1")
    with pytest.raises(Refused):
        api.post(CONNECTORS, {**BODY, "ipCidrRange": "10.8.1.0/28"}, connectorId="c2")


@pytest.mark.behaviour("1.7.7")
def test_an_operation_fails(api: Api) -> None:
    """The resource is not there afterwards; a connector is left in ERROR (behaviour 1.7.7)."""
    add(api, "failure", code="RESOURCE_EXHAUSTED", message="No more.", method="networks.insert")
    done = network(api)
    assert done["error"]["errors"] == [{"code": "RESOURCE_EXHAUSTED", "message": "No more."}]
    assert "items" not in api.get(NETWORKS)
    network(api)
    add(api, "unhealthy")
    done = api.post(CONNECTORS, BODY, connectorId="c1")
    assert done["error"]["code"] == 13
    assert "failed to get healthy" in done["error"]["message"]
    assert api.get(f"{CONNECTORS}/c1")["state"] == "ERROR"
    add(api, "failure", method="connectors.delete", message="Busy.")
    assert api.delete(f"{CONNECTORS}/c1")["error"]["message"] == "Busy."
    assert api.get(f"{CONNECTORS}/c1")["state"] == "ERROR"
    api.delete(f"{CONNECTORS}/c1")
    assert api.get(CONNECTORS) == {}


def test_a_refused_call_does_not_use_a_fault_up(api: Api) -> None:
    network(api)
    add(api, "failure")
    with pytest.raises(Refused, match="already exists"):
        network(api)
    assert len(api.store.faults.all()) == 1


def test_a_connector_is_stuck_until_faults_are_cleared(api: Api) -> None:
    network(api)
    api.dispatcher.window = 0.0
    add(api, "stuck")
    create = api.post(CONNECTORS, BODY, connectorId="c1")
    for _ in range(3):
        assert api.get(f"{CONNECTORS}/c1")["state"] == "CREATING"
        assert api.get(f"v1/{create['name']}")["done"] is False
    assert [one.facts[STUCK] for one in api.plane.operations() if not one.done] == [True]
    api.plane.release()
    api.dispatcher.window = 5.0
    api.plane.when_done(create["name"].rpartition("/")[2]).result(PATIENCE)
    assert api.get(f"{CONNECTORS}/c1")["state"] == "READY"


@pytest.mark.behaviour("1.10.3")
def test_a_rule_that_stays_behind_keeps_the_network(api: Api) -> None:
    """Behaviour 1.10.3, with Google's text and reason."""
    network(api)
    api.post(CONNECTORS, BODY, connectorId="my-c")
    add(api, "leftover-rule")
    api.delete(f"{CONNECTORS}/my-c")
    rule = "aet-uscentral1-my--c-egrfw"
    left = api.get(f"{COMPUTE}/global/firewalls/{rule}")
    assert (left["direction"], left["priority"], left["targetTags"]) == (
        "EGRESS",
        100,
        ["vpc-connector-us-central1-my-c"],
    )
    with pytest.raises(Refused) as caught:
        api.delete(f"{NETWORKS}/vpc")
    assert caught.value.message == (
        "The network resource 'projects/demo/global/networks/vpc' is already being used by"
        f" 'projects/demo/global/firewalls/{rule}'"
    )
    assert caught.value.error["errors"][0]["reason"] == "resourceInUseByAnotherResource"
    api.delete(f"{COMPUTE}/global/firewalls/{rule}")
    api.delete(f"{NETWORKS}/vpc")


def test_a_quota_is_exceeded(api: Api) -> None:
    """Each API has its own words: compute 403, the others 429; a connector's create finds out later (code 9)."""
    add(api, "quota", left=2)
    with pytest.raises(Refused) as caught:
        network(api)
    assert (caught.value.code, caught.value.message) == (403, "Quota 'NETWORKS' exceeded.  Limit: 0.0 globally.")
    assert caught.value.error["errors"][0]["reason"] == "quotaExceeded"
    with pytest.raises(Refused, match=r"redis\.googleapis\.com") as caught:
        api.post("v1/projects/demo/locations/us-central1/instances", {"tier": "BASIC"}, instanceId="r")
    assert (caught.value.code, caught.value.status) == (429, "RESOURCE_EXHAUSTED")
    network(api)
    add(api, "quota")
    done = api.post(CONNECTORS, BODY, connectorId="c1")
    assert done["error"] == {"code": 9, "message": "Operation failed: Insufficient CPU quota in region."}
    assert api.get(f"{CONNECTORS}/c1")["state"] == "ERROR"


def test_the_commands(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """`fault add`, `list` and `clear`, while a control plane runs."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)

    def run(*arguments: str) -> Any:
        result = CliRunner().invoke(app, ["fault", *arguments, "--name", "t", "--json"], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return json.loads(result.output)

    commands = Commands(api.plane, cast("Any", None), cast("Any", None))
    with listening(api.plane.store.folder, Service(commands.handlers(), 0)):
        _commands(api, run)


def _commands(api: Api, run: Callable[..., Any]) -> None:
    network(api)
    made = run("add", "error", "--count", "0", "--code", "UNAVAILABLE", "--message", "later", "--method", "*.delete")
    assert made == {
        "kind": "error",
        "method": "*.delete",
        "resource": "*",
        "left": 0,
        "code": "UNAVAILABLE",
        "message": "later",
        "number": 1,
    }
    with pytest.raises(Refused, match="later"):
        api.delete(f"{NETWORKS}/vpc")
    run("add", "stuck")
    api.dispatcher.window = 0.0
    create = api.post(CONNECTORS, BODY, connectorId="c1")
    stuck = [
        {
            "operation": create["name"].rpartition("/")[2],
            "resource": create["metadata"]["target"],
            "method": "vpcaccess.projects.locations.connectors.create",
        }
    ]
    assert run("list") == {"faults": [made], "stuck": stuck}
    assert run("clear", "1") == {"removed": 1, "released": []}
    assert run("clear") == {"removed": 0, "released": stuck}
    api.plane.when_done(create["name"].rpartition("/")[2]).result(PATIENCE)
    assert run("list") == {"faults": [], "stuck": []}


def test_faults_are_in_the_store(api: Api) -> None:
    first, second = add(api, "error"), add(api, "stuck")
    assert [one["kind"] for one in api.store.export()["faults"]] == ["error", "stuck"]
    api.store.faults.remove(first.number)
    assert api.store.faults.all() == [second]
    with pytest.raises(NotFound):
        api.store.faults.remove(first.number)
