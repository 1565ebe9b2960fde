"""Records of logged rules: one per connection, of TCP and UDP only, in the shape of Google's."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from testbed.control.watch.firewall_log import LIMIT, FirewallLog, file_in
from testbed.errors import Internal
from testbed.fabric.firewall.log_chains import GROUP
from testbed.json_object import Json
from testbed.kernel import nflog
from testbed.kernel.capabilities import nflog_works
from testbed.model.topology import Topology
from tests.kernel.built import Built, built, instance
from tests.kernel.spaces import answering, ask
from tests.unit.topologies import Data, compute, connector, network, service, subnet, topology, vm
from tests.waiting import eventually

pytestmark = pytest.mark.skipif(not nflog_works().present, reason="this kernel cannot log")
VPC = "projects/p/global/networks/vpc"
INCLUDED = {"enable": True, "metadata": "INCLUDE_ALL_METADATA"}
EXCLUDED = {"enable": True, "metadata": "EXCLUDE_ALL_METADATA"}


def rule(name: str, **more: Any) -> Data:
    return {"name": name, "network": "vpc", "logConfig": INCLUDED, **more}


def machines(*rules: Data, **more: Any) -> Topology:
    instances = [vm("a", tags={"items": ["client"]}), vm("b", tags={"items": ["server"]})]
    return topology(compute=compute(instances=instances, firewalls=list(rules)), **more)


@dataclass
class Logged:
    """A network, and what its firewall has logged."""

    net: Built
    log: FirewallLog
    folder: Path

    def change(self, given: Topology) -> None:
        self.net.change(given)
        self.log.watch(given, self.net.running, {VPC: self.net.paths["vpc-vpc"]})

    def records(self, number: int) -> list[Json]:
        """The records, when there are as many."""
        eventually(lambda: len([*file_in(self.folder).read()]) >= number, f"{number} records")
        return [*file_in(self.folder).read()]

    def send(self, sender: str, address: str, port: int, times: int = 1) -> int:
        """Datagrams of one connection; its source port."""
        with self.net.socket(sender, socket.SOCK_DGRAM) as client:
            for _ in range(times):
                client.sendto(b"?", (address, port))
            return int(client.getsockname()[1])


@contextmanager
def logging(given: Topology, folder: Path) -> Iterator[Logged]:
    with built(given) as net:
        log = FirewallLog(file_in(folder))
        try:
            log.watch(given, net.running, {VPC: net.paths["vpc-vpc"]})
            yield Logged(net, log, folder)
        finally:
            log.close()


@pytest.mark.behaviour("4.1.15")
def test_the_shape_of_a_record(tmp_path: Path) -> None:
    allow = rule("web", allowed="tcp:80,tcp:8000-8080,icmp", sourceTags=["client"], targetTags=["server"], priority=7)
    with logging(machines(allow), tmp_path) as logged:
        a, b = (logged.net.address(instance(name)) for name in "ab")
        with answering(logged.net.paths["b"], (b, 80), "b"), logged.net.socket("a", socket.SOCK_STREAM) as client:
            client.connect((b, 80))
            port = client.getsockname()[1]
            for _ in range(3):
                assert ask(client) == "b"
        [entry] = logged.records(1)
    assert entry["jsonPayload"] == {
        "connection": {"src_ip": a, "src_port": port, "dest_ip": b, "dest_port": 80, "protocol": 6},
        "disposition": "ALLOWED",
        "rule_details": {
            "reference": "network:vpc/firewall:web",
            "priority": 7,
            "action": "ALLOW",
            "direction": "INGRESS",
            "ip_port_info": [{"ip_protocol": "TCP", "port_range": ["80", "8000-8080"]}, {"ip_protocol": "ICMP"}],
            "source_tag": ["client"],
            "target_tag": ["server"],
        },
        "instance": {"project_id": "p", "vm_name": "b", "region": "us-central1", "zone": "us-central1-a"},
        "vpc": {"project_id": "p", "vpc_name": "vpc", "subnetwork_name": "us"},
        "remote_instance": {"project_id": "p", "vm_name": "a", "region": "us-central1", "zone": "us-central1-a"},
        "remote_vpc": {"project_id": "p", "vpc_name": "vpc", "subnetwork_name": "us"},
    }
    assert entry["logName"] == "projects/p/logs/compute.googleapis.com%2Ffirewall"
    assert entry["resource"] == {
        "type": "gce_subnetwork",
        "labels": {"project_id": "p", "location": "us-central1", "subnetwork_name": "us"},
    }
    assert entry["timestamp"].startswith("20")
    assert entry["insertId"]


@pytest.mark.behaviour("4.1.15")
def test_records_without_metadata(tmp_path: Path) -> None:
    deny = rule(
        "no",
        denied="all",
        direction="EGRESS",
        destinationRanges=["10.128.0.0/20"],
        targetTags=["client"],
        logConfig=EXCLUDED,
    )
    with logging(machines(deny), tmp_path) as logged:
        a, b = (logged.net.address(instance(name)) for name in "ab")
        port = logged.send("a", b, 53)
        [entry] = logged.records(1)
    assert entry["jsonPayload"] == {
        "connection": {"src_ip": a, "src_port": port, "dest_ip": b, "dest_port": 53, "protocol": 17},
        "disposition": "DENIED",
        "rule_details": {
            "reference": "network:vpc/firewall:no",
            "priority": 1000,
            "action": "DENY",
            "direction": "EGRESS",
            "ip_port_info": [{"ip_protocol": "ALL"}],
        },
    }


@pytest.mark.behaviour("4.1.15")
def test_a_connection_is_logged_once_for_each_end(tmp_path: Path) -> None:
    rules = [rule("out", direction="EGRESS", allowed="udp"), rule("in", allowed="udp")]
    with logging(machines(*rules), tmp_path) as logged:
        b = logged.net.address(instance("b"))
        first = logged.send("a", b, 5000, times=20)  # nobody answers: every packet is one of a new connection
        second = logged.send("a", b, 5001, times=20)
        found = logged.records(4)
        assert logged.net.packets("vpc-vpc", "in") == 40
    seen = [(e["jsonPayload"]["connection"]["src_port"], e["jsonPayload"]["rule_details"]["direction"]) for e in found]
    assert seen == [(port, direction) for port in (first, second) for direction in ("EGRESS", "INGRESS")]


@pytest.mark.behaviour("4.1.15")
def test_what_is_denied_is_logged_once_for_all_its_tries(tmp_path: Path) -> None:
    with logging(machines(rule("no", denied="udp"), rule("last", denied="udp", priority=0)), tmp_path) as logged:
        b = logged.net.address(instance("b"))
        logged.send("a", b, 5000, times=20)
        logged.send("a", b, 5001)
        found = logged.records(2)
        assert logged.net.packets("vpc-vpc", "last") == 21
    assert [entry["jsonPayload"]["connection"]["dest_port"] for entry in found] == [5000, 5001]
    assert {entry["jsonPayload"]["rule_details"]["reference"] for entry in found} == {"network:vpc/firewall:last"}


@pytest.mark.behaviour("4.1.15", "4.1.7")
def test_other_protocols_and_rules_are_not_logged(tmp_path: Path) -> None:
    rules = [rule("in", allowed="icmp,esp,udp:5000"), rule("quiet", allowed="udp:5001", logConfig={"enable": False})]
    with logging(machines(*rules), tmp_path) as logged:
        b = logged.net.address(instance("b"))
        with logged.net.socket("a", socket.SOCK_RAW, 50) as esp, logged.net.socket("a", socket.SOCK_RAW, 1) as icmp:
            esp.sendto(struct.pack("!II", 9, 1), (b, 0))
            icmp.sendto(struct.pack("!BBHHH", 8, 0, 0xF7FE, 0, 1), (b, 0))
        for port in (5001, 5002, 5000):  # 5002 meets the implied rule; 5000 comes last, so that the others came before
            logged.send("a", b, port)
        [entry] = logged.records(1)
        assert logged.net.packets("vpc-vpc", "in") == 3
        assert logged.net.packets("vpc-vpc", "quiet") == 1
        assert logged.net.packets("vpc-vpc", "implied-deny-ingress") == 1
    assert entry["jsonPayload"]["connection"]["dest_port"] == 5000


@pytest.mark.behaviour("4.1.15")
def test_logging_begins_and_ends_with_the_rules(tmp_path: Path) -> None:
    loud, quiet = rule("in", allowed="udp"), rule("in", allowed="udp", logConfig={"enable": False})
    with logging(machines(quiet), tmp_path) as logged:
        b = logged.net.address(instance("b"))
        logged.send("a", b, 5000)
        logged.change(machines(loud))
        logged.send("a", b, 5001)
        logged.change(machines(quiet))
        logged.send("a", b, 5002)
        logged.change(machines({**loud, "disabled": True}))
        logged.send("a", b, 5003)
        logged.change(machines(loud, rule("all", direction="EGRESS", denied="udp:5005")))
        logged.send("a", b, 5004)
        logged.send("a", b, 5005)
        found = logged.records(3)
    assert [entry["jsonPayload"]["connection"]["dest_port"] for entry in found] == [5001, 5004, 5005]


@pytest.mark.behaviour("4.1.15")
def test_a_rule_that_the_kernel_has_sooner_than_the_log_is_logged(tmp_path: Path) -> None:
    with logging(machines(), tmp_path) as logged:
        given = machines(rule("in", allowed="udp"))
        logged.net.change(given)
        logged.send("a", logged.net.address(instance("b")), 5000)
        logged.log.watch(given, logged.net.running, {VPC: logged.net.paths["vpc-vpc"]})
        logged.records(1)


@pytest.mark.behaviour("4.1.15", "2.4.1")
def test_a_service_is_seen_as_its_connectors_instance(tmp_path: Path) -> None:
    given = machines(
        rule("in", allowed="tcp:80", sourceTags=["vpc-connector"], priority=1),
        vpcaccess={"connectors": [connector()]},
        run={"services": [service("web")]},
    )
    with logging(given, tmp_path) as logged:
        b = logged.net.address(instance("b"))
        with answering(logged.net.paths["b"], (b, 80), "b"), logged.net.socket("web", socket.SOCK_STREAM) as client:
            client.connect((b, 80))
            assert ask(client) == "b"
        [entry] = logged.records(1)
    addresses = {one.address: one.name for one in logged.net.running.instances}
    remote = entry["jsonPayload"]["remote_instance"]
    assert remote == {
        "project_id": "p",
        "region": "us-central1",
        "vm_name": addresses[entry["jsonPayload"]["connection"]["src_ip"]],
    }
    assert entry["jsonPayload"]["remote_vpc"] == {"project_id": "p", "vpc_name": "vpc"}  # no subnet has a name


def test_peers_know_nothing_of_each_others_machines(tmp_path: Path) -> None:
    given = topology(
        compute=compute(
            networks=[network("vpc", "other"), network("other", "vpc")],
            subnetworks=[subnet(), subnet("theirs", "10.9.0.0/24", network="other")],
            instances=[vm("a"), vm("z", "theirs")],
            firewalls=[rule("in", allowed="udp")],
        )
    )
    with logging(given, tmp_path) as logged:
        logged.send("z", logged.net.address(instance("a")), 5000)
        [entry] = logged.records(1)
    assert entry["jsonPayload"]["instance"]["vm_name"] == "a"
    assert "remote_instance" not in entry["jsonPayload"]
    assert entry["jsonPayload"]["rule_details"]["source_range"] == ["0.0.0.0/0"]


def test_there_is_a_limit_and_traffic_does_not_feel_it(tmp_path: Path) -> None:
    with logging(machines(rule("in", allowed="udp")), tmp_path) as logged:
        b, number = logged.net.address(instance("b")), LIMIT * 2
        for port in range(10_000, 10_000 + number):
            logged.send("a", b, port)
        assert logged.net.packets("vpc-vpc", "in") == number
        assert LIMIT <= len(logged.records(LIMIT)) < number


def test_traffic_passes_while_nobody_reads(tmp_path: Path) -> None:
    with built(machines(rule("in", allowed="udp"))) as net:
        with nflog.listen(net.paths["vpc-vpc"], GROUP), net.socket("a", socket.SOCK_DGRAM) as client:
            with pytest.raises(Internal, match="netfilter log"):
                nflog.listen(net.paths["vpc-vpc"], GROUP)  # another one is listening
            for port in range(20_000, 30_000):
                client.sendto(b"?", (net.address(instance("b")), port))
        assert net.packets("vpc-vpc", "in") == 10_000
    assert json.dumps([*file_in(tmp_path).read()]) == "[]"
