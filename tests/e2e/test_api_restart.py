"""What was accepted is carried out, whatever becomes of the controller: `kill -9` between the answer and the end."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.control.state.lock import holder
from tests.e2e.rest import Json, Rest, client_of, eventually_seen
from tests.e2e.small import program, start
from tests.waiting import PATIENCE, QUIET, eventually

COMPUTE = "compute/v1/projects/small"
FIREWALLS = f"{COMPUTE}/global/firewalls"
ADDRESSES = {"client": "10.128.0.2", "server": "10.128.0.3"}
URL = "http://10.128.0.3/"
TWO: Json = {
    "project": "small",
    "region": "us-central1",
    "zone": "us-central1-a",
    "compute": {
        "networks": [{"name": "vpc"}],
        "subnetworks": [{"name": "us", "network": "vpc", "ipCidrRange": "10.128.0.0/20"}],
        "instances": [
            {"name": name, "networkInterfaces": [{"subnetwork": "us", "networkIP": address}]}
            for name, address in ADDRESSES.items()
        ],
    },
}
LONG = 800
"""A hundred times as long as Google takes, 8 s: no machine is so slow that it passes by itself."""
ALLOW: Json = {"name": "web", "network": "global/networks/vpc", "allowed": [{"IPProtocol": "tcp"}]}


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[Rest]:
    """Two VMs; a change of a firewall rule takes `LONG` seconds: enough to kill what carries it out."""
    with program(tmp_path, "again") as bed:
        yield Rest.up(bed, {**TWO, "name": bed.name}, "--operation-delay", f"{LONG / 8:g}")


def test_a_restart_goes_on(slow: Rest) -> None:
    bed = slow.bed
    insert = slow.call("POST", FIREWALLS, ALLOW)
    _kill(slow)
    assert insert["status"] == "RUNNING"
    assert client_of(bed, "client", URL, within=QUIET) is None
    restarted = Rest.up(bed, {**TWO, "name": bed.name})  # the file does not know the rule, and leaves it alone
    bed.run("clock", "advance", f"{LONG}s")
    assert "error" not in eventually(lambda: _ended(restarted, insert), "the end of the insertion")
    events = [json.loads(line) for line in bed.run("events", "--json").stdout.splitlines()]
    assert [event["number"] for event in events] == [*range(1, len(events) + 1)]  # the log outlives the controller
    assert ("operation", "compute.firewalls.insert is done") in [(event["kind"], event["text"]) for event in events]
    assert eventually_seen(bed, "client", URL) == ADDRESSES["client"]

    delete = restarted.call("DELETE", f"{FIREWALLS}/web")
    _kill(restarted)
    assert delete["status"] == "RUNNING"
    assert client_of(bed, "client", URL, within=PATIENCE) == ADDRESSES["client"]
    server = start(bed, "serve")
    try:
        eventually(
            lambda: bed.run("clock", "advance", f"{LONG}s", check=False).returncode == 0, "a controller that answers"
        )
        restarted = Rest.of(bed)  # another testbed may have its port by now
        assert "error" not in eventually(lambda: _ended(restarted, delete), "the end of the deletion")
        assert client_of(bed, "client", URL, within=QUIET) is None
    finally:
        server.terminate()
        server.communicate(timeout=PATIENCE)


def _kill(rest: Rest) -> None:
    folder = rest.bed.state / rest.bed.name
    controller = holder(folder)
    assert controller
    os.kill(controller, signal.SIGKILL)
    eventually(lambda: holder(folder) is None, "the end of the controller")


def _ended(rest: Rest, operation: Json) -> Json:
    """The operation, or nothing while it is not over or nobody answers."""
    try:
        found = rest.call("GET", f"{COMPUTE}/global/operations/{operation['name']}")
    except OSError:
        return {}
    return found if found.get("status") == "DONE" else {}
