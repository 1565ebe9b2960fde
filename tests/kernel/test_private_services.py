"""Redis behind a private connection and in a network of its own: who reaches it, by which port, and from where."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

import pytest

from testbed.fabric.allocation.addressing import redis_host
from testbed.fabric.allocation.keys import RangeKey
from testbed.fabric.compiler import compile_topology
from testbed.kernel.apply import apply
from testbed.model.topology import Topology
from tests.kernel.built import Built, built
from tests.kernel.spaces import answering, ask
from tests.unit.topologies import Data, compute, connector, network, service, subnet, topology, vm
from tests.waiting import PATIENCE, QUIET, patience

PRIVATE, DIRECT, SECURE = "private", "direct", "secure"
SITE = "192.168.10.10"
"""An address behind the VM `router`, as one on premises is."""


def redis(name: str, *, private: bool = True, secure: bool = False, project: str = "p") -> Data:
    return {
        "name": f"projects/{project}/locations/us-central1/instances/{name}",
        "authorizedNetwork": "projects/p/global/networks/vpc",
        "connectMode": "PRIVATE_SERVICE_ACCESS" if private else "DIRECT_PEERING",
        "transitEncryptionMode": "SERVER_AUTHENTICATION" if secure else "DISABLED",
    }


def services(*instances: Data, **connection: bool) -> Topology:
    """A network with VMs in two regions, a router to a site, a connector, a peered network, and Redis instances."""
    subnets = [
        subnet(),
        subnet("eu", "10.132.0.0/20", region="europe-west1"),
        subnet("pupi", "51.10.0.0/24"),
        {**subnet("other", "10.200.0.0/20"), "network": "other"},
    ]
    machines = [
        vm("a"),
        vm("b", "regions/europe-west1/subnetworks/eu", zone="europe-west1-b"),
        vm("public", "pupi"),
        vm("stranger", "other"),
        vm("router", canIpForward=True),
    ]
    return topology(
        compute=compute(
            networks=[network("vpc", "other"), network("other", "vpc")],
            subnetworks=subnets,
            instances=machines,
            globalAddresses=[{"name": "range", "network": "vpc", "address": "10.60.0.0", "prefixLength": 24}],
            routes=[{"name": "to-site", "network": "vpc", "destRange": "192.168.10.0/24", "nextHopInstance": "router"}],
            firewalls=[{"name": "allow", "network": "vpc", "allowed": "all"}],
        ),
        servicenetworking={"connections": [{"network": "vpc", "reservedPeeringRanges": ["range"], **connection}]},
        redis={"instances": [*instances]},
        vpcaccess={"connectors": [connector()]},
        run={"services": [service("web")]},
    )


@contextmanager
def made(of: Topology) -> Iterator[Built]:
    with built(of) as found:
        plan = compile_topology(of, found.running)
        site = (replace(s, loopback=s.loopback | {f"{SITE}/32"}) if s.name == "router" else s for s in plan.namespaces)
        apply(replace(plan, namespaces=tuple(site)), found.paths)
        yield found


def host(of: Built, name: str, project: str = "p") -> str:
    return redis_host(of.running.range(RangeKey.redis(f"projects/{project}/locations/us-central1/instances/{name}")))


def reached(
    of: Built,
    sender: str,
    name: str,
    port: int = 6379,
    *,
    source: str = "",
    project: str = "p",
    within: float = PATIENCE,
) -> bool:
    """Whether the node of an instance is reached: something listens there at every port that is asked for."""
    address = host(of, name, project)
    with answering(of.paths[name], (address, port), name), of.socket(sender, socket.SOCK_STREAM) as client:
        client.settimeout(within)
        client.bind((source, 0))
        with suppress(OSError):
            client.connect((address, port))
            return ask(client) == name
    return False


def seen(of: Built, sender: str, name: str) -> str:
    """The source that the node of an instance sees."""
    address = host(of, name), 6379
    with of.socket(name, socket.SOCK_STREAM) as server, of.socket(sender, socket.SOCK_STREAM) as client:
        server.bind(address)
        server.listen()
        client.connect(address)
        with server.accept()[0] as connection:
            return str(connection.getpeername()[0])


@pytest.mark.behaviour("4.9.1", "4.9.3", "4.9.4", "4.9.5", "4.9.7", "4.5.4")
def test_the_network_and_all_its_regions_reach_it_and_a_peer_of_it_does_not() -> None:
    with made(services(redis(PRIVATE), redis(DIRECT, private=False))) as of:
        for name in (PRIVATE, DIRECT):
            assert [reached(of, sender, name) for sender in ("a", "b", "web")] == [True, True, True]
            assert not reached(of, "stranger", name, within=QUIET)
            assert not reached(of, "a", name, port=6378, within=QUIET)
            assert not reached(of, "a", name, port=22, within=QUIET)
        assert host(of, PRIVATE).startswith("10.60.0.")
        assert seen(of, "a", PRIVATE) == of.address("projects/p/zones/us-central1-a/instances/a")


@pytest.mark.behaviour("4.9.7", "4.9.9")
def test_a_service_comes_from_an_instance_of_its_connector() -> None:
    with made(services(redis(PRIVATE))) as of:
        assert seen(of, "web", PRIVATE) in {one.address for one in of.running.instances}


@pytest.mark.behaviour("4.9.5")
def test_with_encryption_it_has_the_other_port_only() -> None:
    with made(services(redis(PRIVATE), redis(SECURE, secure=True))) as of:
        for name, port, found in (
            (PRIVATE, 6379, True),
            (PRIVATE, 6378, False),
            (SECURE, 6379, False),
            (SECURE, 6378, True),
        ):
            assert reached(of, "a", name, port, within=patience(found)) is found


@pytest.mark.behaviour("4.9.5")
def test_a_public_range_that_is_used_privately_reaches_it_by_direct_peering_only() -> None:
    with made(services(redis(PRIVATE), redis(DIRECT, private=False))) as of:
        assert not reached(of, "public", PRIVATE, within=QUIET)
        assert reached(of, "public", DIRECT)


@pytest.mark.behaviour("4.9.6")
def test_an_instance_of_a_service_project_is_behind_the_host_projects_connection() -> None:
    with made(services(redis(PRIVATE, project="service"))) as of:
        assert reached(of, "a", PRIVATE, project="service")


@pytest.mark.behaviour("4.9.9")
@pytest.mark.parametrize("exports", [False, True])
def test_a_site_reaches_it_if_the_peering_exports_custom_routes(exports: bool) -> None:
    with made(services(redis(PRIVATE), exportCustomRoutes=exports)) as of:
        assert reached(of, "router", PRIVATE, source=SITE, within=patience(exports)) is exports
        assert reached(of, "router", PRIVATE)


def test_instances_of_one_connection_are_in_one_network() -> None:
    names = (PRIVATE, SECURE)
    with made(services(*(redis(name) for name in names))) as of:
        segments = [space.name for space in of.plan.namespaces if space.name.startswith("services-")]
        assert segments == ["services-vpc"]
        addresses = {host(of, name) for name in names}
        assert len(addresses) == len(names)
