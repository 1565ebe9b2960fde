"""What is exported is read back as the same topology."""

from __future__ import annotations

from pathlib import Path

import pytest

from testbed.model.topology import Topology
from testbed.paths import EXAMPLES
from testbed.topology_export import export
from testbed.topology_file import load, parse
from tests.unit.topologies import compute, connector, network, service, small, subnet, topology, vm


def read(text: str) -> Topology:
    return parse(text, "exported.yaml", Path("/nowhere"))


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*.yaml")), ids=lambda file: file.stem)
def test_the_examples(file: Path) -> None:
    known = load(file)
    assert read(export(known)) == known


def other_project() -> Topology:
    link = "projects/host/global/networks/shared"
    inside = "projects/host/regions/us-central1/subnetworks/us"
    return topology(
        compute=compute(
            networks=[{**network("shared"), "selfLink": link}],
            subnetworks=[{**subnet(), "network": link, "selfLink": inside}],
        ),
        vpcaccess={"connectors": [connector(network=link)]},
    )


POLICY = {
    "name": "pol",
    "associations": [{"name": "vpc", "attachmentTarget": "vpc"}],
    "rules": [{"priority": 1, "action": "goto_next", "match": {"layer4Configs": "tcp:80,udp"}}],
}


@pytest.mark.parametrize(
    "known",
    [
        small(),
        small(run={"services": [service("web", None), service("other", egress="ALL_TRAFFIC", instances=3)]}),
        small(compute=compute(instances=[vm("a", address="10.128.0.9", tags={"items": ["b", "a"]})])),
        small(compute=compute(firewalls=[{"name": "no", "network": "vpc", "denied": [{"IPProtocol": "all"}]}])),
        small(
            compute=compute(
                networks=[{**network(), "networkFirewallPolicyEnforcementOrder": "BEFORE_CLASSIC_FIREWALL"}],
                networkFirewallPolicies=[POLICY],
                regionNetworkFirewallPolicies=[{**POLICY, "region": "us-central1"}],
            )
        ),
        topology(compute={"networks": [network("vpc", "b"), network("b", "vpc")]}),
        other_project(),
        topology(),
        Topology.model_validate({"name": "t", "project": "p"}),
    ],
    ids=["small", "services", "vm", "rule", "policies", "peering", "another project", "empty", "no defaults"],
)
def test_others(known: Topology) -> None:
    assert read(export(known)) == known


def test_it_reads_as_a_person_writes() -> None:
    text = export(small())
    assert text.startswith("name: t\nproject: p\nregion: us-central1\nzone: us-central1-a\n")
    assert "selfLink" not in text
    assert export(topology()) == "name: t\nproject: p\nregion: us-central1\nzone: us-central1-a\n"


def test_what_no_file_has_is_named() -> None:
    text = export(topology(), left_out=[("dns.managedZones", "projects/p/managedZones/z")])
    assert text.endswith("#   dns.managedZones: projects/p/managedZones/z\n")
    assert read(text) == topology()
