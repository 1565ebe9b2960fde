"""Redis behind a private connection, with encryption and AUTH: real clients, in a VM and behind a connector."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.program import Program
from tests.e2e.rest import Rest
from tests.e2e.small import program, small
from tests.waiting import PATIENCE, QUIET

INSTANCES = "v1/projects/small/locations/us-central1/instances"
CA = "/tmp/ca.pem"  # noqa: S108 - in a node
CLIENTS = """
import json, redis, sys
host, port, secret, ca = json.load(sys.stdin)
open("/tmp/ca.pem", "w").write(ca)
tls = {"ssl": True, "ssl_ca_certs": "/tmp/ca.pem", "ssl_check_hostname": True} if ca else {}
client = redis.Redis(host=host, port=port, password=secret, **tls)
client.set("key", "value")
print(json.dumps([one["addr"].rpartition(":")[0] for one in client.client_list()]))
"""
"""What Redis says of its clients, this one among them, over TLS if there is a CA."""


def topology(name: str) -> dict[str, Any]:
    """A service behind a connector, two Redis instances behind the private connection, and VMs with redis-cli."""
    made = small(name)
    compute = made["compute"]
    compute["networks"] = [
        {"name": "vpc", "peerings": [{"name": "out", "network": "partner"}]},
        {"name": "partner", "peerings": [{"name": "back", "network": "vpc"}]},
    ]
    compute["subnetworks"].append({"name": "partner", "network": "partner", "ipCidrRange": "10.200.0.0/24"})
    disk = {"boot": True, "initializeParams": {"sourceImage": "testbed/redis"}}
    compute["instances"] = [
        {"name": "client", "disks": [disk], "networkInterfaces": [{"subnetwork": "us", "networkIP": "10.128.0.2"}]},
        {"name": "stranger", "disks": [disk], "networkInterfaces": [{"subnetwork": "partner"}]},
    ]
    compute["globalAddresses"] = [{"name": "services", "network": "vpc", "address": "10.60.0.0", "prefixLength": 24}]
    made["servicenetworking"] = {"connections": [{"network": "vpc", "reservedPeeringRanges": ["services"]}]}
    private = {"authorizedNetwork": "vpc", "connectMode": "PRIVATE_SERVICE_ACCESS", "reservedIpRange": "services"}
    made["redis"] = {
        "instances": [
            {"name": "secure", **private, "transitEncryptionMode": "SERVER_AUTHENTICATION", "authEnabled": True},
            {"name": "plain", **private},
        ]
    }
    return made


@pytest.fixture(scope="module")
def rest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rest]:
    with program(tmp_path_factory.mktemp("redis"), "redis") as made:
        yield Rest.up(made, topology(made.name))


def put(bed: Program, node: str, path: str, text: str) -> None:
    bed.run("exec", node, "--", "sh", "-c", f"cat > {path}", stdin=text)


def cli(
    bed: Program, node: str, host: str, *arguments: str, secret: str = "", wait: float = PATIENCE
) -> subprocess.CompletedProcess[str]:
    """What redis-cli says in a node within so many seconds."""
    command = ["timeout", str(wait), "env", f"REDISCLI_AUTH={secret}", "redis-cli", "-h", host, *arguments]
    return bed.execute(node, *command, check=False)


def secured(rest: Rest) -> tuple[str, str, str]:
    """Host, AUTH string and CA of the instance with encryption."""
    found = rest.call("GET", f"{INSTANCES}/secure")
    assert (found["port"], found["connectMode"]) == (6378, "PRIVATE_SERVICE_ACCESS")
    secret = rest.call("GET", f"{INSTANCES}/secure/authString")["authString"]
    return found["host"], secret, found["serverCaCerts"][0]["cert"]


@pytest.mark.behaviour("4.9.3", "4.9.5")
def test_a_vm_speaks_tls_with_the_instances_own_ca(rest: Rest) -> None:
    host, secret, ca = secured(rest)
    assert host.startswith("10.60.0.")
    put(rest.bed, "client", CA, ca)
    trusting = ("-p", "6378", "--tls", "--cacert", CA)
    listed = cli(rest.bed, "client", host, *trusting, "CLIENT", "LIST", secret=secret).stdout
    assert " addr=10.128.0.2:" in listed
    assert "NOAUTH" in cli(rest.bed, "client", host, *trusting, "PING").stdout
    system = cli(rest.bed, "client", host, "-p", "6378", "--tls", "PING", secret=secret)
    assert "certificate verify failed" in system.stderr
    assert cli(rest.bed, "client", host, "-p", "6378", "PING", secret=secret).stdout != "PONG\n"


@pytest.mark.behaviour("4.9.4", "4.9.5", "4.5.4")
def test_only_its_own_port_is_there_and_only_for_its_network(rest: Rest) -> None:
    host, _, _ = secured(rest)
    plain = rest.call("GET", f"{INSTANCES}/plain")
    assert plain["port"] == 6379
    assert cli(rest.bed, "client", plain["host"], "PING").stdout == "PONG\n"
    for node, address, port in (
        ("client", host, 6379),
        ("client", plain["host"], 6378),
        ("stranger", plain["host"], 6379),
    ):
        assert cli(rest.bed, node, address, "-p", str(port), "PING", wait=QUIET).stdout == ""


@pytest.mark.behaviour("4.9.7", "4.9.9")
def test_a_service_behind_a_connector_is_seen_as_an_instance_of_it(rest: Rest) -> None:
    host, secret, ca = secured(rest)
    plain = rest.call("GET", f"{INSTANCES}/plain")["host"]
    for given in ((host, 6378, secret, ca), (plain, 6379, None, "")):
        found = rest.bed.run("exec", "relay", "--", "python3", "-c", CLIENTS, stdin=json.dumps(given))
        clients = json.loads(found.stdout)
        assert clients
        assert all(address.startswith("10.8.0.") for address in clients)


def test_its_keys_are_its_own(rest: Rest) -> None:
    bed, (_, secret, _) = rest.bed, secured(rest)
    modes = bed.execute("secure", "sh", "-c", "stat -c '%a %U %n' /etc/redis/*").stdout.splitlines()
    assert modes == [f"600 testbed /etc/redis/{name}" for name in ("server.key", "server.pem", "testbed.conf")]
    key = bed.execute("secure", "cat", "/etc/redis/server.key").stdout
    words = [line for line in key.splitlines() if "PRIVATE" not in line] + [secret]
    assert not [word for word in words if word in bed.run("logs", "secure").stdout]
    assert not [name for name, text in shown(bed) if any(word in text for word in words)]


def shown(bed: Program) -> Iterator[tuple[str, str]]:
    """The command lines of all processes of the host, nodes' among them, and what others may read of the state."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            yield str(process), (process / "cmdline").read_bytes().decode(errors="replace")
    for path in (bed.state / bed.name).rglob("*"):
        with suppress(OSError):  # it has gone
            if path.is_file() and path.stat().st_mode & 0o077:
                yield str(path), path.read_text(errors="replace")
