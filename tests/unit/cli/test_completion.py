"""Shell completion, as a shell asks for it: names come from the stored state, and nobody else is asked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from typer.testing import CliRunner

from testbed.api.callers.commands import KeyCommands
from testbed.api.callers.keys import KEYS, PublicKey, SqliteKeys
from testbed.cli import app
from testbed.control.accept.plane import ControlPlane
from testbed.control.channel.listener import Service, listening
from testbed.control.commands import Commands
from testbed.control.state.store import Store
from testbed.fabric.allocation.addressing import allocate
from testbed.fabric.allocation.allocations import Allocations
from tests.unit.topologies import example


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two testbeds: the example with a controller, and one that is called `other` and has not come far."""
    monkeypatch.setenv("TESTBED_STATE", str(tmp_path))
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent")
    monkeypatch.delenv("TESTBED_NAME", raising=False)
    with Store.open("demo", create=True) as store:
        store.replace_topology(example())
        store.allocations.replace(allocate(example(), Allocations()))
        store.nodes.set_processes({"vm-us": 1, "vm-europe": 2, "c1-0001": 3})
        with Store.open("other", create=True):
            pass
        plane = ControlPlane(store)
        names = Commands(plane, cast("Any", None), cast("Any", None)).names
        with listening(store.folder, Service({"names": names, **KeyCommands(plane).handlers()}, 0)):
            yield


def offered(*words: str) -> list[str]:
    variables = {
        "_TESTBED_COMPLETE": "complete_bash",
        "COMP_WORDS": " ".join(["testbed", *words]),
        "COMP_CWORD": str(len(words)),
    }
    result = CliRunner().invoke(app, env=variables, prog_name="testbed")
    assert result.exit_code == 0, result.output
    return result.stdout.split()


def test_names_of_testbeds() -> None:
    assert offered("status", "--name", "d") == ["demo"]


@pytest.mark.parametrize("command", ["exec", "logs", "configure"])
def test_nodes(command: str) -> None:
    assert offered(command, "--name", "demo", "vm-") == ["vm-europe", "vm-us"]


def test_services() -> None:
    assert offered("invoke", "--name", "demo", "hello-f") == ["hello-flexible", "hello-function"]


def test_the_environment_names_the_testbed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TESTBED_NAME", "demo")
    assert offered("exec", "c1") == ["c1-0001"]


def test_keys_that_hold() -> None:
    with Store.open("demo") as store, SqliteKeys.open(store.folder / KEYS) as keys:
        keys.add(PublicKey("1a", "robot-1@demo.iam.gserviceaccount.com", ""))
        keys.add(PublicKey("1b", "robot-1@demo.iam.gserviceaccount.com", "", deleted=True))
        keys.add(PublicKey("2a", "robot-2@demo.iam.gserviceaccount.com", ""))
    assert offered("key", "delete", "--name", "demo", "1") == ["1a"]


def test_scenarios() -> None:
    assert offered("load", "vm") == ["vm_reads"]


def test_nothing_of_a_testbed_that_was_not_named_or_is_not_there() -> None:
    assert offered("exec", "vm-") == []
    assert offered("exec", "--name", "none", "vm-") == []
    assert offered("exec", "--name", "No_Name", "vm-") == []
    assert offered("invoke", "--name", "other", "hello") == []
