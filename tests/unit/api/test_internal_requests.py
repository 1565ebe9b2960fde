"""Ingress settings: who may call, and how the internet is refused (behaviour 3.3.5, 3.8.1)."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from testbed.api.frontdoor import internal_requests
from testbed.api.frontdoor.multiplexer import head
from testbed.fabric.serverless.ingress import PORT, admitted, mark
from testbed.model.topology import Topology
from tests.unit.topologies import Data, compute, connector, network, plan, service, small, space, subnet, table_rules
from tests.unit.topologies import topology as made

HOST = "shared"
SHARED = f"projects/{HOST}/global/networks/theirs"


def shared(**apis: Any) -> Topology:
    """A network of the project, and one of another project, where a connector is."""
    theirs = {**network("theirs"), "selfLink": SHARED}
    subnets = [subnet(), subnet("far", "10.9.0.0/28", network=SHARED)]
    return made(
        compute=compute(networks=[network(), theirs], subnetworks=subnets),
        vpcaccess={"connectors": [connector(), connector("c2", "10.8.0.16/28", network=SHARED)]},
        **apis,
    )


def services(ingress: str) -> Data:
    return {"services": [{**service("mine"), "ingress": ingress}, {**service("guest", "c2"), "ingress": ingress}]}


@pytest.mark.behaviour("3.3.5")
@pytest.mark.parametrize("ingress", ["internal", "internal-and-cloud-load-balancing", "INGRESS_TRAFFIC_INTERNAL_ONLY"])
def test_the_projects_networks_may_call_and_the_one_that_is_sent_to(ingress: str) -> None:
    topology = shared(run=services(ingress))
    mine, guest = topology.workloads
    assert (mine.refused, guest.refused) == (404, 404)
    assert list(admitted(topology, mine)) == ["projects/p/global/networks/vpc"]
    assert list(admitted(topology, guest)) == ["projects/p/global/networks/vpc", SHARED]


@pytest.mark.behaviour("3.3.5")
def test_each_product_refuses_in_its_own_way() -> None:
    build = {"entryPoint": "hello", "source": "/tmp"}  # noqa: S108 - nothing is written
    functions = [
        {
            "name": name,
            "environment": generation,
            "buildConfig": build,
            "serviceConfig": {"ingress-settings": "internal-only"},
        }
        for name, generation in (("first", "GEN_1"), ("second", "GEN_2"))
    ]
    version = {"name": "apps/p/services/default/versions/1", "deployment": {"zip": {"sourceUrl": "/tmp"}}}  # noqa: S108
    settings = {"networkSettings": {"ingress": "internal-and-cloud-load-balancing"}}
    of_app = {"name": "apps/p/services/default", "split": {"allocations": {"1": 1}}, **settings}
    topology = shared(
        run={"services": [service("open")]},
        cloudfunctions={"functions": functions},
        appengine={
            "application": {"id": "p", "locationId": "us-central1"},
            "versions": [version],
            "services": [of_app],
        },
    )
    assert [workload.refused for workload in topology.workloads] == [None, 403, 404, 403]


@pytest.mark.behaviour("3.3.5")
def test_the_front_end_is_told_and_guarded() -> None:
    given = small(run={"services": [{**service("web"), "ingress": "internal"}, service("open")]})
    compiled = plan(given)
    (front,) = (node for node in compiled.nodes if node.kind == "front-end")
    routes = {route["name"]: route for route in front.variables["routes"]}  # type: ignore[attr-defined]
    assert (routes["web"]["refused"], routes["web"]["admitted"]) == (404, [mark("projects/p/global/networks/vpc")])
    assert (routes["open"]["refused"], routes["open"]["admitted"]) == (None, [])
    (rule,) = table_rules(space(compiled, "front-end"), "filter", "INPUT")
    assert rule == f"! -s 203.0.113.1/32 -p tcp -m tcp --dport {PORT} -j DROP"


def test_networks_are_told_apart() -> None:
    assert len({mark(f"projects/p/global/networks/{name}") for name in range(1000)}) == 1000


@pytest.mark.parametrize(
    ("sent", "host"),
    [
        (b"GET / HTTP/1.1\r\nHost: a.us-central1.run.app\r\n\r\n", "a.us-central1.run.app"),
        (b"GET / HTTP/1.1\r\nX: y\r\nhOST:  a.appspot.com:443 \r\n\r\nHost: other\r\n", "a.appspot.com:443"),
        (b"GET http://a.appspot.com/b HTTP/1.1\r\nHost: other\r\n\r\n", "a.appspot.com"),
        (b"GET /?http://a.appspot.com/ HTTP/1.0\r\n\r\n", ""),
        (b"", ""),
    ],
)
def test_the_host_of_a_request_is_found(sent: bytes, host: str) -> None:
    assert internal_requests.host_of(sent) == host


def test_the_head_of_a_request_is_read_and_no_more_is_waited_for() -> None:
    async def run() -> tuple[bytes, bytes]:
        reader = asyncio.StreamReader()
        for part in (b"GET / HT", b"TP/1.1\r\nHost: x\r", b"\n\r\n"):
            asyncio.get_running_loop().call_soon(reader.feed_data, part)
        first = await asyncio.wait_for(head(reader), 30)
        reader.feed_data(b"GET /")
        reader.feed_eof()
        return first, await asyncio.wait_for(head(reader), 30)

    assert asyncio.run(run()) == (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /")


def test_what_is_for_an_api_is_left_to_it() -> None:
    async def run() -> object:
        with socket.socket() as client:
            head = b"GET / HTTP/1.1\r\nHost: run.googleapis.com\r\n\r\n"
            return await internal_requests.opened(None, "edge-vpc", head, client)  # type: ignore[arg-type]

    assert asyncio.run(run()) is None
