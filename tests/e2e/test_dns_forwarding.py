"""A forwarding zone: an on-prem name server is really asked, through the VPN, from the addresses of Cloud DNS."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from ipaddress import IPv4Address
from typing import Any

import pytest

from testbed.model.core.ranges import CLOUD_DNS
from tests.e2e.hybrid import HOST, hybrid
from tests.e2e.program import Program
from tests.e2e.small import file, program
from tests.waiting import PATIENCE, eventually

_SERVER = """
import socket, struct
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("", 53))
print("begun", flush=True)
while True:
    query, asker = server.recvfrom(512)
    end = query.index(0, 12) + 5
    kind = query[end - 4:end - 2]
    answers = [socket.inet_aton(asker[0])] if kind == bytes([0, 1]) else []
    head = query[:2] + struct.pack("!5H", 0x8400, 1, len(answers), 0, 0)
    records = b"".join(struct.pack("!HHHLH", 0xC00C, 1, 1, 60, 4) + data for data in answers)
    server.sendto(head + query[12:end] + records, asker)
"""
"""Its answer to every question is the address that it was asked from."""
_ASK = """
import json, socket, sys
try:
    print(json.dumps(socket.gethostbyname_ex(sys.argv[1])[2]))
except OSError:
    print("[]")
"""


def topology(name: str) -> dict[str, Any]:
    """The site's name server answers for corp.example; the VPN's router says where Cloud DNS asks from."""
    made = hybrid(name)
    (router,) = made["compute"]["routers"]
    router["bgp"] |= {
        "advertiseMode": "CUSTOM",
        "advertisedGroups": ["ALL_SUBNETS"],
        "advertisedIpRanges": [{"range": str(CLOUD_DNS)}],
    }
    made["dns"] = {
        "managedZones": [
            {
                "name": "corp",
                "dnsName": "corp.example.",
                "visibility": "private",
                "privateVisibilityConfig": {"networks": [{"networkUrl": "vpc"}]},
                "forwardingConfig": {"targetNameServers": [{"ipv4Address": HOST}]},
            }
        ]
    }
    return made


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    with program(tmp_path_factory.mktemp("forward"), "fwd") as made:
        made.run("up", file(made, topology(made.name)))
        yield made


@pytest.fixture
def name_server(bed: Program) -> Iterator[None]:
    """A name server on the site's host."""
    command = bed.command("exec", "office-host", "python3", "-c", _SERVER)
    with subprocess.Popen(
        command, env=bed.variables(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "begun\n"
        yield
        process.terminate()
        process.communicate(timeout=PATIENCE)


@pytest.mark.behaviour("3.4.3", "4.3.11")
@pytest.mark.usefixtures("name_server")
def test_the_sites_name_server_is_asked_through_the_vpn(bed: Program) -> None:
    def asked() -> list[str]:
        found: list[str] = json.loads(bed.execute("vm", "python3", "-c", _ASK, "db.corp.example").stdout)
        return found

    (asker,) = eventually(asked, "an answer through the VPN")
    assert IPv4Address(asker) in CLOUD_DNS
