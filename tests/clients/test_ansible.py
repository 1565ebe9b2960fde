"""Ansible's collection google.cloud, unmodified: its modules have no endpoint option, so they come by the proxy."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from testbed.api import clients
from tests.clients.conftest import Served

PLAYBOOK = Path(__file__).with_name("network.yaml")


def test_a_playbook_makes_a_network(served: Served) -> None:
    callback = {"ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json", "ANSIBLE_LOCALHOST_WARNING": "false"}
    command = [
        str(Path(sys.executable).with_name("ansible-playbook")),
        "-i",
        "localhost,",
        "-e",
        f"ansible_python_interpreter={sys.executable}",
        str(PLAYBOOK),
    ]
    (play,) = json.loads(served.run(command, {**clients.proxy(served.endpoint), **callback}))["plays"]
    found = {task["task"]["name"]: task["hosts"]["localhost"] for task in play["tasks"]}
    assert {name: result["changed"] for name, result in found.items()} == {
        "network": True,
        "subnetwork": True,
        "rule": True,
        "the same rule": False,
        "a changed rule": True,
        "address": True,
        "route": True,
        "rules": False,
        "no rule": True,
    }
    (rule,) = found["rules"]["resources"]
    assert (rule["priority"], rule["allowed"]) == (10, [{"IPProtocol": "tcp", "ports": ["80"]}])
