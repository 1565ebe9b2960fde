"""When the startup scripts of VMs run: once for each container, whoever looks and whatever changes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, cast

from testbed.control.realise.guest_scripts import Startups
from testbed.control.state.resources import Record
from testbed.control.state.store import Store
from testbed.model.compute.guest_scripts import Phase, Script
from testbed.nodes.container import RunningNode
from tests.waiting import eventually

NAME = "projects/p/zones/us-central1-a/instances/vm"


class Machines:
    """A testbed with one VM, as far as its scripts go."""

    def __init__(self, script: str) -> None:
        metadata = {"items": [{"key": "startup-script", "value": script}] if script else []}
        self.record = Record("compute.instances", NAME, {"metadata": metadata})
        self.pid, self.container, self.ready = 10, "first", True
        self.booted: dict[str, str] = {}
        self.ran: list[tuple[str, str]] = []
        self.told: list[str] = []
        nodes = SimpleNamespace(
            processes=lambda: {"vm": self.pid}, booted=lambda: self.booted, set_booted=self.booted.update
        )
        self.store = cast(
            Store,
            SimpleNamespace(
                nodes=nodes,
                running=SimpleNamespace(allocations=SimpleNamespace(nodes=lambda _: ["vm"])),
                resources=SimpleNamespace(of=lambda _: [self.record], get=lambda *_: None),
                events=SimpleNamespace(add=lambda _kind, _name, text: self.told.append(text)),
            ),
        )

    def run_scripts(
        self, name: str, phase: Phase, scripts: Sequence[Script], timeout: float | None = None
    ) -> list[str]:
        assert (phase, timeout) == ("startup", None)
        self.ran += [(name, one.text) for one in scripts]
        return [f"ran {len(self.ran)}"]

    def whole(self, names: Collection[str]) -> Mapping[str, RunningNode]:
        one = RunningNode("vm", "vm", "", "running", self.pid, "", self.container)
        return {name: one for name in names if self.ready}


def look(machines: Machines, startups: Startups) -> None:
    startups.round(machines.store, machines, machines.whole)


def test_a_script_runs_when_the_vm_is_ready_and_once_for_each_container() -> None:
    machines, startups = Machines("a"), Startups()
    machines.ready = False
    look(machines, startups)
    assert not machines.booted
    machines.ready = True
    for _ in range(3):
        look(machines, startups)
    eventually(lambda: machines.ran == [("vm", "a")], "it does not run")

    def told() -> bool:
        look(machines, startups)
        return machines.told == ["ran 1"]

    eventually(told, "its end is not told")
    machines.pid, machines.container = 11, "second"
    look(machines, startups)
    eventually(lambda: len(machines.ran) == 2, "it does not run at the next boot")


def test_another_controller_does_not_run_it_again() -> None:
    machines = Machines("a")
    look(machines, Startups())
    eventually(lambda: len(machines.ran) == 1, "it does not run")
    look(machines, Startups())
    assert len(machines.ran) == 1


def test_a_script_that_comes_later_waits_for_the_next_boot() -> None:
    machines, startups = Machines(""), Startups()
    look(machines, startups)
    items: list[dict[str, Any]] = machines.record.body["metadata"]["items"]
    items.append({"key": "startup-script", "value": "later"})
    look(machines, startups)
    look(machines, Startups())
    assert not machines.ran
    machines.container, machines.pid = "second", 11
    look(machines, startups)
    eventually(lambda: machines.ran == [("vm", "later")], "it does not run")
