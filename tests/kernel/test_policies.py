"""Network firewall policies: which stage decides, seen by real packets and by the counters of the rules."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from testbed.control.watch.firewall_log import FirewallLog, file_in
from testbed.kernel.capabilities import nflog_works
from testbed.model.topology import Topology
from tests.kernel.built import Built, built, instance
from tests.kernel.spaces import answering, ask
from tests.unit.topologies import Data, compute, connector, network, service, subnet, topology, vm
from tests.waiting import QUIET, eventually

VPC = "projects/p/global/networks/vpc"
BEFORE, AFTER = "BEFORE_CLASSIC_FIREWALL", "AFTER_CLASSIC_FIREWALL"
EUROPE = "europe-west1"
ROBOT = "robot@p.iam.gserviceaccount.com"


def rule(priority: int, action: str, layer4: str, **more: Any) -> Data:
    """A rule of a policy; ranges of the other end may be given as `src` and `dest`."""
    match = {f"{side}IpRanges": more.pop(side) for side in ("src", "dest") if side in more}
    return {"priority": priority, "action": action, "match": {"layer4Configs": layer4, **match}, **more}


def policy(*rules: Data, name: str = "pol", **more: Any) -> Data:
    return {"name": name, "rules": [*rules], "associations": [{"name": "vpc", "attachmentTarget": "vpc"}], **more}


def classic(name: str, **more: Any) -> Data:
    return {"name": name, "network": "vpc", **more}


def machines(
    *rules: Data, everywhere: Data | None = None, regional: list[Data] | None = None, order: str = AFTER, **more: Any
) -> Topology:
    """Two machines in us-central1, of which `b` has a service account, and one in europe-west1."""
    given = compute(
        networks=[{**network(), "networkFirewallPolicyEnforcementOrder": order}],
        subnetworks=[subnet(), subnet("eu", "10.132.0.0/20", region=EUROPE)],
        instances=[
            vm("a"),
            vm("b", serviceAccounts=[{"email": ROBOT}]),
            vm("c", f"regions/{EUROPE}/subnetworks/eu", zone=f"{EUROPE}-b"),
        ],
        firewalls=[*rules],
        networkFirewallPolicies=[everywhere] if everywhere else [],
        regionNetworkFirewallPolicies=regional or [],
    )
    return topology(compute=given, **more)


def address(net: Built, name: str) -> str:
    return net.address(instance(name, f"{EUROPE}-b" if name == "c" else "us-central1-a"))


def send(net: Built, port: int, sender: str = "a", receiver: str = "b") -> None:
    with net.socket(sender, socket.SOCK_DGRAM) as client:
        client.sendto(b"?", (address(net, receiver), port))


def arrives(net: Built, port: int, sender: str = "a", receiver: str = "b") -> None:
    """Send a datagram, and wait until the receiver has it."""
    with net.socket(receiver, socket.SOCK_DGRAM) as server:
        server.bind((address(net, receiver), port))
        send(net, port, sender, receiver)
        assert server.recv(8) == b"?"


def is_dropped(net: Built, port: int, by: str, sender: str = "a", receiver: str = "b") -> None:
    """Send a datagram, and wait until a rule has dropped it."""
    with net.socket(receiver, socket.SOCK_DGRAM) as server:
        server.bind((address(net, receiver), port))
        before = net.packets("vpc-vpc", by)
        send(net, port, sender, receiver)
        counts(net, {by: before + 1})
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.recv(8)


def counts(net: Built, wanted: dict[str, int]) -> None:
    eventually(lambda: {name: net.packets("vpc-vpc", name) for name in wanted} == wanted, f"{wanted}")


@pytest.mark.behaviour("4.1.21")
def test_the_stages_are_tried_in_order_and_goto_next_leads_to_the_next() -> None:
    own = [classic("no", denied="udp:5000"), classic("yes", allowed="udp:5001")]
    everywhere = policy(
        rule(1, "goto_next", "udp:5002,udp:5003"), rule(2, "deny", "udp:5000-5003"), rule(3, "allow", "udp:5004")
    )
    regional = policy(rule(1, "allow", "udp:5000-5002"), name="here", region="us-central1")
    with built(machines(*own, everywhere=everywhere, regional=[regional])) as net:
        is_dropped(net, 5000, "no")  # the network's own rule is before the policy that allows it
        arrives(net, 5001)  # and before the one that denies it
        arrives(net, 5002)  # the global policy hands it on, the regional one allows it
        is_dropped(net, 5003, "implied-deny-ingress")  # it is handed on to the regional one, which has no rule for it
        arrives(net, 5004)
        counts(
            net,
            {
                "no": 1,
                "yes": 1,
                "pol:1": 2,
                "pol:2": 0,
                "pol:3": 1,
                "us-central1/here:1": 1,
                "implied-deny-ingress": 1,
            },
        )


@pytest.mark.behaviour("4.1.21")
def test_the_order_is_the_networks_and_counts_stay_when_it_changes() -> None:
    own = [
        classic("in", allowed="udp"),
        classic("out", direction="EGRESS", allowed="udp:6000"),
        classic("stop", direction="EGRESS", denied="udp:6001"),
    ]
    everywhere = policy(
        rule(1, "deny", "udp:5000"),
        rule(2, "deny", "udp:6000", direction="EGRESS"),
        rule(3, "allow", "udp:6001", direction="EGRESS"),
    )
    counted = {"in": 2, "out": 1, "stop": 1, "pol:1": 1, "pol:2": 1, "pol:3": 1}
    with built(machines(*own, everywhere=everywhere)) as net:
        arrives(net, 5000)
        arrives(net, 6000)
        is_dropped(net, 6001, "stop")
        net.change(machines(*own, everywhere=everywhere, order=BEFORE))
        is_dropped(net, 5000, "pol:1")
        is_dropped(net, 6000, "pol:2")
        arrives(net, 6001)
        counts(net, {**counted, "in": 3})
        net.change(machines(*own))
        counts(net, {"in": 3, "out": 1, "stop": 1, "pol:1": 0})


@pytest.mark.behaviour("4.1.21")
def test_senders_go_through_the_stages_too() -> None:
    everywhere = policy(
        rule(1, "goto_next", "udp:6000-6001", direction="EGRESS", dest=["10.128.0.0/20"]),
        rule(2, "allow", "udp:6002", direction="EGRESS"),
        rule(3, "deny", "udp:6000-6009", direction="EGRESS"),
    )
    regional = policy(
        rule(7, "deny", "udp:6001-6002", direction="EGRESS"),
        rule(8, "allow", "udp:7001", direction="EGRESS"),
        name="here",
        region="us-central1",
    )
    with built(machines(classic("in", allowed="udp"), everywhere=everywhere, regional=[regional])) as net:
        arrives(net, 6000)  # handed on twice: to the regional policy, and to the implied rule
        is_dropped(net, 6001, "us-central1/here:7")
        arrives(net, 6002)  # the global policy has decided
        is_dropped(net, 6003, "pol:3")
        is_dropped(net, 6000, "pol:3", receiver="c")  # another destination
        arrives(net, 7000)
        arrives(net, 7001)  # the regional policy has decided
        counts(
            net,
            {
                "pol:1": 2,
                "pol:2": 1,
                "pol:3": 2,
                "us-central1/here:7": 1,
                "us-central1/here:8": 1,
                "implied-allow-egress": 2,
                "in": 4,
            },
        )


@pytest.mark.behaviour("4.1.21", "4.1.14")
def test_a_regional_policy_and_a_target_are_for_some_and_a_disabled_rule_for_none() -> None:
    everywhere = policy(
        rule(1, "deny", "udp", disabled=True),
        rule(2, "allow", "udp:5000", targetServiceAccounts=[ROBOT]),
        rule(3, "allow", "udp:5001", src=["10.132.0.0/20"]),
    )
    regional = policy(rule(1, "allow", "udp:5002"), name="there", region=EUROPE)
    with built(machines(everywhere=everywhere, regional=[regional])) as net:
        arrives(net, 5000)
        is_dropped(net, 5000, "implied-deny-ingress", sender="b", receiver="a")
        arrives(net, 5001, sender="c")
        is_dropped(net, 5001, "implied-deny-ingress")
        arrives(net, 5002, receiver="c")
        is_dropped(net, 5002, "implied-deny-ingress")


@pytest.mark.behaviour("2.3.6", "4.1.21", "2.3.3")
def test_a_policy_before_a_connectors_own_rules_cuts_its_tunnel() -> None:
    tunnel = policy(rule(10, "deny", "udp:665", src=["35.199.224.0/19"]))
    serverless: dict[str, Any] = {"vpcaccess": {"connectors": [connector()]}, "run": {"services": [service("web")]}}
    own = [classic("web", allowed="tcp:80")]
    with built(machines(*own, everywhere=tunnel, order=BEFORE, **serverless)) as net:
        b = address(net, "b")
        with answering(net.paths["b"], (b, 80), "b"):
            with net.socket("web", socket.SOCK_STREAM) as client:
                client.settimeout(QUIET)
                with pytest.raises(TimeoutError):
                    client.connect((b, 80))
            dropped = net.packets("vpc-vpc", "pol:10")
            assert dropped > 0
            net.change(machines(*own, everywhere=tunnel, **serverless))
            with net.socket("web", socket.SOCK_STREAM) as client:
                client.connect((b, 80))
                assert ask(client) == "b"
            counts(net, {"pol:10": dropped})


@pytest.mark.behaviour("4.1.21")
def test_hundreds_of_rules_in_every_stage() -> None:
    """Each stage is a decision tree, as deep as the kernel follows; one that forwards has stages of its own."""
    several = [
        rule(
            n,
            "goto_next" if n % 3 else "allow",
            f"udp:{6000 + n}",
            src=[f"10.{n % 200}.0.0/16"],
            direction="INGRESS" if n % 2 else "EGRESS",
        )
        for n in range(600)
    ]
    wide = [rule(n, "goto_next", f"tcp:{n}", src=[f"10.128.{n % 16}.0/24", "10.9.0.0/16"]) for n in range(1000, 1400)]
    last = rule(9000, "allow", "udp:5000")
    own = [
        classic(f"r{n}", allowed=f"tcp:{n}", sourceRanges=[f"10.{n % 256}.0.0/16"], priority=n) for n in range(1, 400)
    ]
    regional = [policy(*several, *wide, last, name="here", region="us-central1")]
    given = machines(*own, everywhere=policy(*several, *wide), regional=regional, order=BEFORE)
    forwarding = [one.model_copy(update={"can_ip_forward": True}) for one in given.compute.instances]
    forwarders = given.model_copy(update={"compute": given.compute.model_copy(update={"instances": tuple(forwarding)})})
    with built(given) as net:
        arrives(net, 5000)
        is_dropped(net, 5001, "implied-deny-ingress")
        counts(net, {"us-central1/here:9000": 1})
        net.change(forwarders)
        arrives(net, 5000)
        counts(net, {"us-central1/here:9000": 2})


@pytest.mark.behaviour("4.1.15", "4.1.21")
@pytest.mark.skipif(not nflog_works().present, reason="this kernel cannot log")
def test_records_name_the_policy(tmp_path: Path) -> None:
    everywhere = policy(
        rule(7, "allow", "udp:5000", enableLogging=True, src=["10.128.0.0/20"], targetServiceAccounts=[ROBOT]),
        rule(8, "deny", "udp:5000-5001,icmp", enableLogging=True, direction="EGRESS", dest=["10.132.0.0/20"]),
    )
    given = machines(everywhere=everywhere)
    with built(given) as net:
        log = FirewallLog(file_in(tmp_path))
        try:
            log.watch(given, net.running, {VPC: net.paths["vpc-vpc"]})
            send(net, 5000)
            send(net, 5001, receiver="c")
            eventually(lambda: len([*file_in(tmp_path).read()]) == 2, "2 records")
        finally:
            log.close()
    first, second = (entry["jsonPayload"] for entry in file_in(tmp_path).read())
    assert (first["disposition"], second["disposition"]) == ("ALLOWED", "DENIED")
    assert first["rule_details"] == {
        "reference": "network:vpc/firewallPolicy:pol",
        "priority": 7,
        "action": "ALLOW",
        "direction": "INGRESS",
        "ip_port_info": [{"ip_protocol": "UDP", "port_range": ["5000"]}],
        "source_range": ["10.128.0.0/20"],
        "target_service_account": [ROBOT],
    }
    assert second["rule_details"] == {
        "reference": "network:vpc/firewallPolicy:pol",
        "priority": 8,
        "action": "DENY",
        "direction": "EGRESS",
        "ip_port_info": [{"ip_protocol": "UDP", "port_range": ["5000-5001"]}, {"ip_protocol": "ICMP"}],
        "destination_range": ["10.132.0.0/20"],
    }
    assert (first["instance"]["vm_name"], second["remote_instance"]["vm_name"]) == ("b", "c")
