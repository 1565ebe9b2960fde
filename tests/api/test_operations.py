"""Operations: their order, their ends, what concurrent calls meet, and what a controller that was killed leaves."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pytest

from testbed.api.contract.discovery import APIS, document
from testbed.control import connectors
from testbed.control.lifecycle import LIFECYCLES, duration
from testbed.control.realise.executor import Executor
from testbed.control.realise.ticket import Ticket
from testbed.control.state.operations import Operation, ResourceChange
from testbed.control.state.store import Store
from testbed.errors import Unavailable
from testbed.model.core.resource import Defaults
from testbed.model.topology import Topology
from testbed.nodes.playbook import TaskFailed
from tests.api import harness
from tests.api.harness import Api, Compiling, Refused

COMPUTE = "compute/v1/projects/demo"
NETWORKS = f"{COMPUTE}/global/networks"
FIREWALLS = f"{COMPUTE}/global/firewalls"
REGION = "v1/projects/demo/locations/us-central1"
CONNECTORS = f"{REGION}/connectors"
CONNECTOR = {"network": "vpc", "ipCidrRange": "10.8.0.0/28", "maxInstances": 3}
VPC = {"name": "vpc", "autoCreateSubnetworks": False}


@pytest.fixture
def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    """A control plane that carries nothing out until it is told to: `settle`."""
    with harness.api(tmp_path, monkeypatch, threaded=False) as made:
        made.dispatcher.window = 0.0
        yield made


def rule(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "network": "global/networks/vpc", "allowed": [{"IPProtocol": "tcp"}], **more}


def status(api: Api, operation: dict[str, Any]) -> dict[str, Any]:
    return api.get(f"{COMPUTE}/global/operations/{operation['name']}")


def made(api: Api) -> None:
    """A network, carried out."""
    api.post(NETWORKS, VPC)
    api.settle()


# -- order and ends ---------------------------------------------------------------------------------------------------


def test_several_at_once_take_effect_in_order(queue: Api) -> None:
    made(queue)
    rules = [queue.post(FIREWALLS, rule(f"r{index}")) for index in range(5)]
    assert {status(queue, one)["status"] for one in rules} == {"RUNNING"}
    assert queue.kernel.plan is not None
    before = queue.kernel.plan
    queue.settle()
    assert {status(queue, one)["status"] for one in rules} == {"DONE"}
    assert queue.kernel.plan != before
    ends = [one.ended for one in queue.plane.operations()]
    assert ends == sorted(ends, key=lambda end: end or 0)


def test_one_of_several_fails_alone(queue: Api) -> None:
    """The firewall rules around a connector whose range is taken, and what fails is what Google leaves."""
    made(queue)
    good = queue.post(FIREWALLS, rule("good"))
    first = queue.post(CONNECTORS, CONNECTOR, connectorId="c1")
    second = queue.post(CONNECTORS, CONNECTOR, connectorId="c2")
    better = queue.post(FIREWALLS, rule("better"))
    queue.settle()
    assert "error" not in status(queue, good)
    assert "error" not in status(queue, better)
    assert "error" not in queue.get(f"v1/{first['name']}")
    assert queue.get(f"v1/{second['name']}")["error"]["code"] == 3
    assert [queue.get(f"{CONNECTORS}/{one}")["state"] for one in ("c1", "c2")] == ["READY", "ERROR"]


def test_what_the_kernel_refuses_is_as_before(queue: Api) -> None:
    made(queue)
    queue.post(FIREWALLS, rule("old"))
    queue.settle()
    queue.kernel.failure = Unavailable("no kernel")
    insert = queue.post(FIREWALLS, rule("new"))
    update = queue.patch(f"{FIREWALLS}/old", {"priority": 7})
    queue.settle()
    for operation in (insert, update):
        assert status(queue, operation)["error"]["errors"][0]["message"] == "no kernel"
        assert status(queue, operation)["httpErrorStatusCode"] == 503
    assert [one["name"] for one in queue.get(FIREWALLS)["items"]] == ["old"]
    assert queue.get(f"{FIREWALLS}/old")["priority"] == 1000
    gone = queue.delete(f"{FIREWALLS}/old")
    queue.settle()
    assert "error" in status(queue, gone)
    assert queue.get(f"{FIREWALLS}/old")["name"] == "old"
    queue.kernel.failure = None
    again = queue.delete(f"{FIREWALLS}/old")
    queue.settle()
    assert "error" not in status(queue, again)
    assert "items" not in queue.get(FIREWALLS)


def test_what_is_being_deleted_cannot_be_used(queue: Api) -> None:
    made(queue)
    delete = queue.delete(f"{NETWORKS}/vpc")
    with pytest.raises(Refused, match="was not found"):
        queue.post(FIREWALLS, rule("late"))
    queue.settle()
    assert "error" not in status(queue, delete)


def test_a_name_is_free_when_its_resource_is_gone(queue: Api) -> None:
    """A deleted resource keeps its name until its operation is done."""
    made(queue)
    queue.delete(f"{NETWORKS}/vpc")
    with pytest.raises(Refused) as caught:
        queue.post(NETWORKS, VPC)
    assert caught.value.code == 409
    assert queue.get(f"{NETWORKS}/vpc")["name"] == "vpc"
    queue.settle()
    queue.post(NETWORKS, VPC)


# -- two at a time ----------------------------------------------------------------------------------------------------


def test_a_second_change_of_a_resource_is_refused_meanwhile(queue: Api) -> None:
    made(queue)
    queue.post(FIREWALLS, rule("r"))
    queue.settle()
    queue.patch(f"{FIREWALLS}/r", {"priority": 7})
    for verb, body in (("PATCH", {"priority": 8}), ("DELETE", None)):
        with pytest.raises(Refused, match="The resource 'projects/demo/global/firewalls/r' is not ready") as caught:
            queue.call(verb, f"{FIREWALLS}/r", body)
        assert caught.value.code == 400
        assert caught.value.error["errors"][0]["reason"] == "resourceNotReady"
    queue.settle()
    assert queue.get(f"{FIREWALLS}/r")["priority"] == 7


def test_what_is_being_made_cannot_be_used_yet(queue: Api) -> None:
    queue.post(NETWORKS, VPC)
    with pytest.raises(Refused, match="'projects/demo/global/networks/vpc' is not ready"):
        queue.post(FIREWALLS, rule("r"))
    queue.settle()
    queue.post(FIREWALLS, rule("r"))


@pytest.mark.behaviour("1.8.6")
def test_a_connector_takes_one_operation_at_a_time(queue: Api) -> None:
    made(queue)
    queue.post(CONNECTORS, CONNECTOR, connectorId="c1")
    assert queue.get(f"{CONNECTORS}/c1")["state"] == "CREATING"
    for verb, body in (("PATCH", {"minInstances": 2, "maxInstances": 9}), ("DELETE", None)):
        with pytest.raises(Refused, match="unable to queue the operation") as caught:
            queue.call(verb, f"{CONNECTORS}/c1", body)
        assert (caught.value.code, caught.value.status) == (409, "ABORTED")
    queue.settle()
    queue.patch(f"{CONNECTORS}/c1", {"minInstances": 2, "maxInstances": 9})
    assert queue.get(f"{CONNECTORS}/c1")["state"] == "UPDATING"  # behaviour 1.8.6
    queue.settle()
    queue.patch(f"{CONNECTORS}/c1", {"minInstances": 2, "maxInstances": 9})  # nothing new
    assert queue.get(f"{CONNECTORS}/c1")["state"] == "UPDATING"
    queue.settle()
    queue.delete(f"{CONNECTORS}/c1")
    assert queue.get(f"{CONNECTORS}/c1")["state"] == "DELETING"
    queue.settle()
    assert queue.get(CONNECTORS) == {}


def test_the_same_request_is_the_same_operation(queue: Api) -> None:
    request = "11111111-1111-4111-8111-111111111111"
    first = queue.post(NETWORKS, VPC, requestId=request)
    assert queue.post(NETWORKS, VPC, requestId=request)["name"] == first["name"]
    queue.settle()
    assert queue.post(NETWORKS, VPC, requestId=request)["name"] == first["name"]


# -- slow ones --------------------------------------------------------------------------------------------------------


def test_a_connector_that_is_not_healthy_yet_holds_up_nobody(queue: Api) -> None:
    made(queue)
    queue.kernel.healthy = False
    slow = queue.post(CONNECTORS, CONNECTOR, connectorId="c1")
    queue.settle()
    quick = queue.post(FIREWALLS, rule("r"))
    queue.settle()
    assert status(queue, quick)["status"] == "DONE"
    assert queue.get(f"v1/{slow['name']}")["done"] is False
    queue.store.connectors.set_health({instance.name: "healthy" for instance in queue.store.connectors.instances()})
    queue.settle()
    assert queue.get(f"v1/{slow['name']}")["response"]["state"] == "READY"


class Configuring(Compiling):
    """In the reconciler's place: nodes of Redis instances are not as planned until a test says so."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.tickets: list[Ticket] = []
        self.begun: set[str] = set()

    def advance(self, topology: Topology, again: Collection[str] = ()) -> Ticket:
        super().advance(topology, again)
        begun, self.begun = self.begun, {instance.id for instance in topology.redis.instances}
        return self._kept(Ticket(self.begun - begun))

    def without(self, ticket: Ticket, nodes: Collection[str]) -> Ticket:
        return self._kept(super().without(ticket, nodes))

    def _kept(self, ticket: Ticket) -> Ticket:
        self.tickets.append(ticket)
        return ticket

    def configured(self, node: str) -> None:
        for ticket in self.tickets:
            ticket.lacking.discard(node)

    def failed(self, node: str, error: Exception) -> None:
        for ticket in self.tickets:
            if node in ticket.lacking:
                ticket.error = error


def accepted(api: Api, *changes: ResourceChange) -> Operation:
    with api.plane.transaction():
        return api.plane.submit(
            Operation(api="redis.v1", method="m", kind="redis.instances", target=changes[0].name, changes=changes)
        )


def cache(name: str) -> ResourceChange:
    full = f"projects/demo/locations/us-central1/instances/{name}"
    body = {"name": full, "tier": "BASIC", "memorySizeGb": 1, "authorizedNetwork": "projects/demo/global/networks/vpc"}
    return ResourceChange("redis.instances", full, body)


def error_of(api: Api, operation: Operation) -> Any:
    found = api.plane.operation(operation.id)
    return found.error if found.done else "not done"


def test_configuration_is_waited_for_by_those_who_need_it(queue: Api) -> None:
    made(queue)
    executor, kernel = Executor(), Configuring(queue.store)
    slow, quick = accepted(queue, cache("one")), queue.post(FIREWALLS, rule("r"))
    executor.round(queue.store, kernel)
    assert status(queue, quick)["status"] == "DONE"
    assert error_of(queue, slow) == "not done"
    kernel.configured("one")
    executor.round(queue.store, kernel)
    assert error_of(queue, slow) is None


def test_only_the_node_at_fault_fails(queue: Api) -> None:
    made(queue)
    executor, kernel = Executor(), Configuring(queue.store)
    good, bad = accepted(queue, cache("good")), accepted(queue, cache("bad"))
    executor.round(queue.store, kernel)
    kernel.failed("bad", TaskFailed("node bad: it does not start"))
    executor.round(queue.store, kernel)
    assert error_of(queue, bad) == {"code": 14, "message": "node bad: it does not start"}
    assert error_of(queue, good) == "not done"
    assert queue.plane.find("redis.instances", bad.target) is None
    kernel.configured("good")
    executor.round(queue.store, kernel)
    assert error_of(queue, good) is None


@pytest.mark.behaviour("1.7.4")
def test_operations_take_their_time(queue: Api) -> None:
    """--operation-delay: Google's durations, multiplied (behaviour 1.7.4)."""
    made(queue)
    queue.store.operation_delay = 0.5
    create = queue.post(CONNECTORS, CONNECTOR, connectorId="c1")
    queue.settle()
    assert queue.get(f"{CONNECTORS}/c1")["state"] == "CREATING"
    assert queue.store.connectors.instances() == ()
    queue.store.clock.advance(0.5 * duration("vpcaccess.projects.locations.connectors.create") - 10)
    queue.settle()
    assert queue.get(f"v1/{create['name']}")["done"] is False
    queue.store.clock.advance(10)
    queue.settle()
    assert queue.get(f"v1/{create['name']}")["done"] is True


@pytest.mark.behaviour("1.7.4")
def test_a_failure_takes_longer_than_a_success(queue: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connector that does not get healthy is given up after 4 to 6 minutes (behaviour 1.7.4), not after 1 to 3."""
    made(queue)
    queue.kernel.healthy = False
    create = queue.post(CONNECTORS, CONNECTOR, connectorId="c1")
    queue.store.operation_delay = 1.0
    queue.settle()
    late = time.monotonic() + connectors.PATIENCE
    monkeypatch.setattr(time, "monotonic", lambda: late)
    for seconds, done in ((170, False), (11, True)):
        queue.store.clock.advance(seconds)
        queue.settle()
        assert queue.get(f"v1/{create['name']}")["done"] is done


def test_durations_are_of_methods_that_there_are() -> None:
    ids = [method.id.split(".") for api in APIS for method in document(api).methods]
    known = {(f"{way[0]}.{way[-1]}", verb) for *way, verb in ids}
    assert {(kind, verb) for kind, row in LIFECYCLES.items() for verb in row.durations} <= known


# -- a controller that was killed -------------------------------------------------------------------------------------


def test_the_next_controller_carries_out_what_was_accepted(queue: Api) -> None:
    made(queue)
    operations = [queue.post(FIREWALLS, rule(f"r{index}")) for index in range(3)]
    Executor().round(queue.store, queue.kernel)
    assert {status(queue, one)["status"] for one in operations} == {"DONE"}


class Killed(BaseException):
    """What no handler catches: the end of the process."""


class Dying(Configuring):
    """In the reconciler's place, when the process ends in the middle of its work."""

    def advance(self, topology: Topology, again: Collection[str] = ()) -> Ticket:  # noqa: ARG002 - as its base has it
        raise Killed


@pytest.mark.parametrize("fails", [False, True])
def test_what_was_half_done_is_done_again(queue: Api, fails: bool) -> None:
    """The new controller knows what was there before, whatever the old one had brought into effect."""
    made(queue)
    queue.post(FIREWALLS, rule("changed"))
    queue.post(FIREWALLS, rule("deleted"))
    queue.settle()
    half = [
        queue.post(FIREWALLS, rule("made")),
        queue.patch(f"{FIREWALLS}/changed", {"priority": 7}),
        queue.delete(f"{FIREWALLS}/deleted"),
    ]
    with pytest.raises(Killed):
        Executor().round(queue.store, Dying(queue.store))
    assert queue.store.topology is not None  # what is in effect fits together
    queue.kernel.failure = Unavailable("no kernel") if fails else None
    Executor().round(queue.store, queue.kernel)
    assert [("error" in status(queue, one), status(queue, one)["status"]) for one in half] == [(fails, "DONE")] * 3
    rules = {one["name"]: one["priority"] for one in queue.get(FIREWALLS)["items"]}
    assert rules == ({"changed": 1000, "deleted": 1000} if fails else {"made": 1000, "changed": 7})


def test_health_is_waited_for_anew(queue: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """A controller that starts long after its predecessor has ended gives instances their time."""
    made(queue)
    queue.kernel.healthy = False
    create = queue.post(CONNECTORS, CONNECTOR, connectorId="c1")
    began = time.monotonic()
    Executor().round(queue.store, queue.kernel)
    monkeypatch.setattr(time, "monotonic", lambda: began + 10 * connectors.PATIENCE)
    executor = Executor()
    executor.round(queue.store, queue.kernel)
    assert queue.get(f"v1/{create['name']}")["done"] is False
    monkeypatch.setattr(time, "monotonic", lambda: began + 12 * connectors.PATIENCE)
    executor.round(queue.store, queue.kernel)
    assert queue.get(f"v1/{create['name']}")["error"]["code"] == 13


# -- a topology file meanwhile ----------------------------------------------------------------------------------------


FILE = {"name": "t", "project": "demo", "compute": {"networks": [{"name": "vpc"}]}}


def up(api: Api, *rules: dict[str, Any]) -> None:
    """What `testbed up` does with the store."""
    rules = tuple({**one, "sourceRanges": ["0.0.0.0/0"]} for one in rules)
    file = {**FILE, "compute": {"networks": [{"name": "vpc"}], "firewalls": list(rules)}}
    Executor().replace(api.store, Topology.model_validate(file, context=Defaults("demo", lenient=True)))


def priorities(api: Api) -> dict[str, int]:
    return {one["name"]: one["priority"] for one in api.get(FIREWALLS).get("items", ())}


def test_a_topology_file_wins(queue: Api) -> None:
    """An operation whose resource the file makes something else ends with ABORTED."""
    made(queue)
    queue.post(FIREWALLS, rule("old", priority=1))
    queue.settle()
    insert = queue.post(FIREWALLS, rule("new", priority=5))
    patch = queue.patch(f"{FIREWALLS}/old", {"priority": 5})
    up(queue, rule("new", priority=6), rule("old", priority=6))
    for one in (insert, patch):
        error = status(queue, one)["error"]["errors"][0]
        assert error["code"] == "ABORTED"
        assert "testbed up" in error["message"]
    queue.settle()
    assert priorities(queue) == {"new": 6, "old": 6}
    queue.patch(f"{FIREWALLS}/old", {"priority": 7})  # nothing is under way on it
    queue.settle()
    assert priorities(queue) == {"new": 6, "old": 7}
    gone = queue.delete(f"{FIREWALLS}/old")
    up(queue)
    assert status(queue, gone)["status"] == "RUNNING"  # both want it away
    queue.settle()
    assert "error" not in status(queue, gone)
    assert priorities(queue) == {}


def test_what_a_file_leaves_alone_goes_on(queue: Api) -> None:
    """Operations whose resources it has as they were before, or as they will be; also those that were half-done."""
    made(queue)
    queue.post(FIREWALLS, rule("patched", priority=1))
    queue.post(FIREWALLS, rule("deleted", priority=1))
    queue.settle()
    going = [
        queue.post(FIREWALLS, rule("absent", priority=5)),
        queue.post(FIREWALLS, rule("there", priority=5)),
        queue.patch(f"{FIREWALLS}/patched", {"priority": 5}),
        queue.delete(f"{FIREWALLS}/deleted"),
    ]
    with pytest.raises(Killed):
        Executor().round(queue.store, Dying(queue.store))
    up(queue, rule("there", priority=5), rule("patched", priority=1), rule("deleted", priority=1))
    assert queue.store.topology is not None
    assert {one.name: one.priority for one in queue.store.topology.compute.firewalls} == {
        "there": 5,
        "patched": 1,
        "deleted": 1,
    }
    with pytest.raises(Refused, match="is not ready"):
        queue.delete(f"{FIREWALLS}/patched")
    queue.settle()
    assert [("error" in status(queue, one), status(queue, one)["status"]) for one in going] == [(False, "DONE")] * 4
    assert priorities(queue) == {"absent": 5, "there": 5, "patched": 5}


# -- reading ----------------------------------------------------------------------------------------------------------


def test_operations_are_listed_and_found_by_their_names(api: Api) -> None:
    api.post(NETWORKS, VPC)
    done = api.post(CONNECTORS, CONNECTOR, connectorId="c1")
    assert api.get(f"v1/{done['name']}") == done
    assert api.get(f"{REGION}/operations")["operations"] == [done]
    assert api.get(f"{REGION.replace('us-central1', '-')}/operations")["operations"] == [done]
    assert api.get(f"{REGION.replace('us-central1', 'us-east1')}/operations") == {}
    beta = api.get(f"v1beta1/{done['name']}")
    assert beta["metadata"]["@type"].endswith("vpcaccess.v1beta1.OperationMetadata")
    assert beta["response"]["createTime"]
    for wrong in ("projects/other/locations/us-central1", "projects/demo/locations/us-east1"):
        with pytest.raises(Refused) as caught:
            api.get(f"v1/{wrong}/operations/{done['name'].rpartition('/')[2]}")
        assert caught.value.status == "NOT_FOUND"


def test_operations_can_be_forgotten_when_they_are_done(queue: Api) -> None:
    operation = queue.post("v1/projects/demo/services/pubsub.googleapis.com:enable", {})
    with pytest.raises(Refused, match="is not done"):
        queue.delete(f"v1/{operation['name']}")
    queue.settle()
    assert queue.get(f"v1/{operation['name']}")["done"] is True
    assert queue.delete(f"v1/{operation['name']}") == {}
    with pytest.raises(Refused, match="not found"):
        queue.get(f"v1/{operation['name']}")


def test_operations_page(api: Api) -> None:
    api.post(NETWORKS, VPC)
    names = {
        api.post(CONNECTORS, {**CONNECTOR, "ipCidrRange": f"10.8.{i}.0/28"}, connectorId=f"c{i}")["name"]
        for i in range(3)
    }
    first = api.get(f"{REGION}/operations", pageSize=2)
    second = api.get(f"{REGION}/operations", pageSize=2, pageToken=first["nextPageToken"])
    assert {one["name"] for one in first["operations"] + second["operations"]} == names
    assert api.get(f"{REGION}/operations", filter="done=false") == {}
