"""The APIs inside the networks: Private Google Access with real packets, to the real server (behaviour 4.8)."""

from __future__ import annotations

import json
import secrets
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any

import pytest

from testbed.api.frontdoor import namespace_listeners
from testbed.fabric.allocation.keys import NameKey
from testbed.fabric.naming import host_name
from testbed.kernel import firewall, namespace
from tests.clients.conftest import PROJECT, REGION, Served, serving
from tests.clients.spaces import Spaces, listeners
from tests.waiting import PATIENCE, QUIET, eventually

PRIVATE, RESTRICTED, PUBLIC = "199.36.153.8", "199.36.153.4", "203.0.113.1"
API = "vpcaccess.googleapis.com"
COMPUTE = f"compute/v1/projects/{PROJECT}"
ANY = "0.0.0.0:443"


class Network(Spaces):
    """A network with a VM without an external address."""

    def __init__(self, served: Served, stack: ExitStack) -> None:
        super().__init__(served, stack)
        self.vm = served.control.plane.running.name(
            NameKey.node(f"projects/{PROJECT}/zones/us-central1-a/instances/vm")
        )

    def connection(self, address: str, port: int, timeout: float = PATIENCE) -> socket.socket:
        """A connection from the VM."""
        return self.connect(self.vm, address, port, timeout)

    def secure(self, address: str, name: str = API) -> ssl.SSLSocket:
        context = ssl.create_default_context(cafile=str(self._served.control.store.ca))
        return self._stack.enter_context(context.wrap_socket(self.connection(address, 443), server_hostname=name))

    def dropped(self, comment: str) -> int:
        return sum(rule.packets for rule in firewall.counters(self.paths["vpc-vpc"]) if rule.comment == comment)

    def is_served(self) -> bool:
        """Whether the server listens in the network's edge by now."""
        return self.listens("edge-vpc", ANY)


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """Of a name that no other run of the tests has: it has namespaces."""
    with serving(tmp_path, monkeypatch, f"in{secrets.token_hex(3)}") as made:
        yield made


@pytest.fixture
def net(served: Served, monkeypatch: pytest.MonkeyPatch) -> Iterator[Network]:
    with network(served, monkeypatch) as made:
        yield made


@contextmanager
def network(served: Served, monkeypatch: pytest.MonkeyPatch) -> Iterator[Network]:
    monkeypatch.setattr(namespace_listeners, "_LOOK", 0.05)
    served.network()
    subnet = {
        "name": "us",
        "network": "global/networks/vpc",
        "ipCidrRange": "10.0.0.0/24",
        "privateIpGoogleAccess": True,
    }
    served.post(f"{COMPUTE}/regions/us-central1/subnetworks", subnet)
    nic = {"subnetwork": f"projects/{PROJECT}/regions/us-central1/subnetworks/us"}
    disk = {"boot": True, "initializeParams": {"sourceImage": "projects/debian-cloud/global/images/family/debian-12"}}
    machine = {
        "name": "vm",
        "machineType": "zones/us-central1-a/machineTypes/e2-micro",
        "networkInterfaces": [nic],
        "disks": [disk],
    }
    served.post(f"{COMPUTE}/zones/us-central1-a/instances", machine)
    served.connector("c1", "10.8.0.0/28")
    with ExitStack() as stack:
        yield Network(served, stack)


def access(served: Served, net: Network, *, on: bool) -> None:
    path = f"{COMPUTE}/regions/us-central1/subnetworks/us/setPrivateIpGoogleAccess"
    served.post(path, {"privateIpGoogleAccess": on})
    net.apply()


def ask(connection: socket.socket, path: str, host: str = API) -> tuple[int, Any]:
    asked = HTTPConnection(host)
    asked.sock = connection
    asked.request("GET", path)
    answer: HTTPResponse = asked.getresponse()
    return answer.status, json.load(answer)


@pytest.mark.behaviour("4.8.1", "4.8.2", "4.4.9")
def test_a_vm_without_an_external_address_reaches_the_apis_if_its_subnet_has_access(
    served: Served, net: Network
) -> None:
    eventually(net.is_served, "the server listens in the edge")
    for address in (PRIVATE, RESTRICTED, PUBLIC):
        status, found = ask(net.secure(address), f"/v1/{REGION}/connectors")
        assert status == 200
        assert [connector["name"] for connector in found["connectors"]] == [f"{REGION}/connectors/c1"]
    access(served, net, on=False)
    before = net.dropped("private-google-access-disallowed")
    with pytest.raises(TimeoutError):
        net.connection(PRIVATE, 443, QUIET)
    assert net.dropped("private-google-access-disallowed") > before
    access(served, net, on=True)
    assert ask(net.secure(PRIVATE), f"/v1/{REGION}/connectors/c1")[0] == 200


@pytest.mark.behaviour("4.8.1")
def test_without_a_route_to_the_default_internet_gateway_there_is_no_access(served: Served, net: Network) -> None:
    eventually(net.is_served, "the server listens in the edge")
    (default,) = (
        route["name"] for route in served.get(f"{COMPUTE}/global/routes")["items"] if route["destRange"] == "0.0.0.0/0"
    )
    served.delete(f"{COMPUTE}/global/routes/{default}")
    net.apply()
    with pytest.raises(OSError, match=r"timed out|unreachable"):
        net.connection(PRIVATE, 443, QUIET)
    route = {
        "name": "private",
        "network": f"projects/{PROJECT}/global/networks/vpc",
        "destRange": "199.36.153.8/30",
        "nextHopGateway": f"projects/{PROJECT}/global/gateways/default-internet-gateway",
    }
    served.post(f"{COMPUTE}/global/routes", route)
    net.apply()
    assert ask(net.secure(PRIVATE), f"/v1/{REGION}/connectors")[0] == 200
    with pytest.raises(OSError, match=r"timed out|unreachable"):
        net.connection(RESTRICTED, 443, QUIET)


def test_inside_it_is_nobodys_proxy_and_answers_for_google_only(net: Network) -> None:
    eventually(net.is_served, "the server listens in the edge")
    connection = net.connection(PRIVATE, 443)
    connection.sendall(b"CONNECT vpcaccess.googleapis.com:443 HTTP/1.1\r\nHost: vpcaccess.googleapis.com:443\r\n\r\n")
    assert connection.recv(100).startswith(b"HTTP/1.1 403 ")
    status, found = ask(net.connection(PRIVATE, 80), "/v1/projects", host="intranet.example")
    assert (status, found["error"]["status"]) == (403, "PERMISSION_DENIED")
    with pytest.raises(TimeoutError):
        net.connection(PRIVATE, 22, QUIET)


def test_another_namespace_of_the_same_name_is_served_too(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    with network(served, monkeypatch) as net:
        eventually(net.is_served, "the server listens in the edge")
    name = host_name(served.control.store.name, "edge-vpc")
    namespace.create(name)
    try:
        eventually(
            lambda: ANY in namespace.inside(namespace.path(name), listeners), "the server listens in the new one"
        )
    finally:
        namespace.delete(name)
