"""Whether something listens is read from the kernel."""

from __future__ import annotations

import os
import socket

from testbed.control.state.operations import Operation, ResourceChange
from testbed.control.watch import listening
from tests.unit.topologies import running, service, small

WEB = "projects/p/locations/us-central1/services/web"


def test_a_socket_counts_while_it_listens() -> None:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
        assert not listening.listens(os.getpid(), port)
        one.listen()
        assert listening.listens(os.getpid(), port)
    assert not listening.listens(os.getpid(), port)


def test_only_what_is_deployed_and_has_a_process_is_waited_for() -> None:
    of = small(run={"services": [service("web", instances=2), service("other")]})
    operation = Operation(
        api="run.v2", method="", kind=listening.KIND, target=WEB, changes=(ResourceChange(listening.KIND, WEB, {}),)
    )
    deployed = listening.deployed(of, operation)
    assert listening.silent(deployed, running(of), {}) == {}
    silent = listening.silent(deployed, running(of), {"web-2": os.getpid(), "other": os.getpid()})
    assert set(silent) == {"web-2"}
    assert "PORT=8080" in listening.failure(silent["web-2"])["message"]


def test_a_service_of_app_engine_is_waited_for_when_its_traffic_moves() -> None:
    name = "apps/p/services/default"
    versions = [{"name": f"{name}/versions/{one}", "deployment": {"zip": {"sourceUrl": "/s"}}} for one in ("v1", "v2")]
    split = {"name": name, "split": {"allocations": {"v2": 1}}}
    of = small(
        appengine={"application": {"id": "p", "locationId": "us-central"}, "versions": versions, "services": [split]}
    )
    moved = Operation(
        api="appengine.v1",
        method="",
        kind="appengine.services",
        target=name,
        changes=(ResourceChange("appengine.services", name, split),),
    )
    silent = listening.silent(listening.deployed(of, moved), running(of), {"p": os.getpid()})
    assert [workload.name for workload in silent.values()] == [f"{name}/versions/v2"]
    assert listening.failure(silent["p"])["message"].startswith("Revision 'v2' is not ready")


def test_a_process_that_has_ended_listens_no_more() -> None:
    gone = 2**22 + 1
    assert not listening.listens(gone, 80)
    of = small(run={"services": [service("web"), service("other")]})
    pids = {"web": gone, "other": os.getpid()}
    silent = listening.silent(of.served, running(of), pids)
    assert set(silent) == {"web", "other"}
    assert set(listening.crashed(silent, pids)) == {"web"}
