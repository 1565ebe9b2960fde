"""What is exported is read back as the same topology."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from testbed.model.topology import Topology
from testbed.paths import EXAMPLES
from testbed.topology_export import export, secrets
from testbed.topology_file import InvalidTopology, load, parse
from tests.unit.topologies import compute, connector, example, network, service, small, subnet, topology, vm


def read(text: str, known: Mapping[str, str] = MappingProxyType({})) -> Topology:
    return parse(text, "exported.yaml", Path("/nowhere"), known)


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*.yaml")), ids=lambda file: file.stem)
def test_the_examples(file: Path) -> None:
    known = parse(file.read_text(), file.name, file.parent)
    assert read(export(known, with_secrets=True)) == known
    assert read(export(known), secrets(known)) == known


def test_secrets_are_named_and_both_ends_of_a_tunnel_have_one(tmp_path: Path) -> None:
    known, value = example(), example().compute.vpn_tunnels[0].shared_secret
    text = export(known)
    assert value not in text
    assert text.count("sharedSecret: secret:tunnel-to-office\n") == 2
    assert secrets(known) == {"tunnel-to-office": value}
    with pytest.raises(InvalidTopology, match="secret 'tunnel-to-office' is not known here") as refused:
        read(text)
    assert len(refused.value.faults) == 2
    file = tmp_path / "exported.yaml"
    file.write_text(text)
    assert load(file).name == known.name  # nothing is made of it, so the values do not matter
    with pytest.raises(InvalidTopology, match="must have at least 8 characters"):
        read(text, {"tunnel-to-office": "short"})


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
