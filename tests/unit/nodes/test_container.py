from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from testbed.fabric.plan import Node
from testbed.nodes.container import creation, spec_hash
from testbed.nodes.seccomp import profile

NODE = Node(name="web", kind="vm", image="testbed/vm", environment={"A": "1", "B": "2"}, hosts={"db": "10.0.0.2"})
CHANGES: list[dict[str, Any]] = [
    {"name": "other"},
    {"kind": "redis"},
    {"command": ("sleep", "1")},
    {"command": ("sleep 1",)},
    {"environment": {"A": "1"}},
    {"environment": {"A": "1", "B": "3"}},
    {"secrets": {"C": "4"}},
    {"capabilities": ("NET_ADMIN",)},
    {"root": True},
    {"devices": ("/dev/net/tun",)},
    {"memory": 1 << 20},
    {"disk": 1 << 20},
    {"cores": 2.0},
    {"hosts": {}},
]


def test_equal_specs_have_equal_hashes() -> None:
    again = dataclasses.replace(NODE, environment={"B": "2", "A": "1"})
    assert spec_hash(NODE, "sha256:1", "key") == spec_hash(again, "sha256:1", "key")


def test_every_change_of_the_container_changes_the_hash() -> None:
    hashes = [spec_hash(dataclasses.replace(NODE, **change), "sha256:1", "key") for change in CHANGES]
    hashes += [spec_hash(NODE, "sha256:1", "key"), spec_hash(NODE, "sha256:2", "key")]
    assert len(set(hashes)) == len(hashes)


def test_what_ansible_configures_does_not_change_the_container() -> None:
    configured = dataclasses.replace(NODE, role="web", variables={"auth_string": "secret"})
    assert spec_hash(configured, "sha256:1", "key") == spec_hash(NODE, "sha256:1", "key")


def test_the_source_counts_with_its_content(tmp_path: Path) -> None:
    node = dataclasses.replace(NODE, source=str(tmp_path))
    (tmp_path / "main.py").write_text("1")
    before = spec_hash(node, "sha256:1", "key")
    (tmp_path / "main.py").write_text("2")
    assert spec_hash(node, "sha256:1", "key") != before


def test_without_the_key_a_hash_confirms_no_guess() -> None:
    assert spec_hash(NODE, "sha256:1", "key") != spec_hash(NODE, "sha256:1", "another")


def test_a_missing_source_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        spec_hash(dataclasses.replace(NODE, source=str(tmp_path / "none")), "sha256:1", "key")


def test_a_node_has_no_privilege_that_it_does_not_name() -> None:
    asked = creation("t", "id", NODE, "sha256:1", "hash")
    assert (asked["cap_drop"], asked["cap_add"], asked["devices"]) == (["ALL"], [], [])
    assert asked["network_mode"] == "none"
    assert asked["security_opt"] == [f"seccomp={profile()}", "no-new-privileges:true"]
    assert not asked.get("privileged")
    assert not asked.get("volumes")


def test_a_gateway_has_what_it_names() -> None:
    gateway = dataclasses.replace(NODE, capabilities=("NET_ADMIN",), devices=("/dev/net/tun",))
    asked = creation("t", "id", gateway, "sha256:1", "hash")
    assert asked["cap_add"] == ["NET_ADMIN"]
    assert asked["devices"] == ["/dev/net/tun:/dev/net/tun:rwm"]


def test_root_of_a_vm_is_given_its_rights_and_nobody_else_is() -> None:
    machine = dataclasses.replace(NODE, capabilities=("CHOWN",), root=True)
    assert creation("t", "id", machine, "sha256:1", "hash")["security_opt"] == [f"seccomp={profile()}"]


def test_labels_say_whose_it_is_and_hold_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TESTBED_STATE", "/state")
    asked = creation("t", "id", NODE, "sha256:1", "hash")
    assert asked["name"] == "tb-t-web"
    assert asked["labels"] == {
        "dev.testbed.name": "t",
        "dev.testbed.id": "id",
        "dev.testbed.folder": "/state/t",
        "dev.testbed.node": "web",
        "dev.testbed.kind": "vm",
        "dev.testbed.spec": "hash",
        "dev.testbed.disk": str(NODE.disk),
    }
