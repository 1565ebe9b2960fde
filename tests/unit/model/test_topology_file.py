"""Reading topology files: every error says where it is, what is there, and which rule it breaks."""

from __future__ import annotations

from pathlib import Path

import pytest

from testbed.errors import InvalidArgument, NotFound
from testbed.model.topology import Topology
from testbed.paths import EXAMPLES
from testbed.topology_file import InvalidTopology, load, parse

HEAD = "name: t\nproject: p\nregion: us-central1\nzone: us-central1-a\n"
SECRET = "correct-horse"


def errors(text: str, folder: Path = Path("/nowhere")) -> list[str]:
    """What is said of a file, error by error."""
    with pytest.raises(InvalidTopology) as caught:
        parse(text, "t.yaml", folder)
    head, *lines = str(caught.value).splitlines()
    count = len(caught.value.faults)
    assert head == f"t.yaml has {'one error' if count == 1 else f'{count} errors'}:"
    assert lines == [f"  {fault}" for fault in caught.value.faults]
    return [line.removeprefix("  ") for line in lines]


NETWORK = "compute:\n  networks:\n    - {name: vpc}\n"

FIREWALL = NETWORK + "  firewalls:\n    - name: r\n      network: vpc\n"
CONNECTOR = NETWORK + "vpcaccess:\n  connectors:\n    - network: vpc\n"

BAD = {
    "empty": (
        "",
        "t.yaml:1: a topology must be a mapping with at least name and project",
    ),
    "a list": (
        "- a\n",
        "t.yaml:1: a topology must be a mapping with at least name and project",
    ),
    "not yaml": (
        "name: t\nproject: [p\n",
        "t.yaml:3: not YAML: did not find expected ',' or ']'",
    ),
    "a control character": (
        "name: t\nproject: \x07",
        "t.yaml:2: not YAML: control characters are not allowed",
    ),
    "a control character behind umlauts": (
        "# ääääää\n# öööööö\nname: \x07",
        "t.yaml:3: not YAML: control characters are not allowed",
    ),
    "deeper than a topology can be": (
        "name: " + 101 * "[" + 101 * "]",
        "t.yaml:1: not YAML: it is nested more than 100 levels deep",
    ),
    "deeper than Python's stack": (
        "name: t\na: " + 900 * "[" + 900 * "]",
        "t.yaml:2: not YAML: it is nested more than 100 levels deep",
    ),
    "deeper than the parser goes": (
        "name: " + 3000 * "[",
        "t.yaml:1: not YAML: exceeded maximum nesting depth",
    ),
    "a node that is in itself": (
        "name: t\nproject: &a [*a]\n",
        "t.yaml:2: project: must be a text",
    ),
    "a date that is none": (
        "name: t\nproject: 2026-13-01\n",
        "t.yaml:2: not YAML: month must be in 1..12",
    ),
    "a key that is a list": (
        "name: t\n? [a]\n: b\n",
        "t.yaml:2: not YAML: found unhashable key",
    ),
    "a tag of Python": (
        "name: !!python/object/apply:os.system [id]\n",
        (
            "t.yaml:1: not YAML: could not determine a constructor for the tag"
            " 'tag:yaml.org,2002:python/object/apply:os.system'"
        ),
    ),
    "nothing required": (
        "region: us-central1\n",
        "t.yaml:1: name: it is required",
        "t.yaml:1: project: it is required",
    ),
    "an unknown key": (
        HEAD + "colour: red\n",
        "t.yaml:5: colour = 'red': unknown key",
    ),
    "a slip in a key that much depends on": (
        HEAD.replace("region:", "regoin:") + "compute:\n  addresses:\n    - name: a\n",
        "t.yaml:3: regoin = 'us-central1': unknown key, did you mean region?",
    ),
    "a mapping for a list": (
        HEAD + "compute:\n  networks:\n    name: vpc\n",
        "t.yaml:6: compute.networks: must be a list",
    ),
    "an empty list": (
        HEAD + "compute:\n  instances:\n    - name: vm\n      zone: us-central1-a\n      networkInterfaces: []\n",
        "t.yaml:9: compute.instances[0].networkInterfaces: must have at least 1 item",
    ),
    "an unknown nested key": (
        HEAD + "compute:\n  networks:\n    - name: vpc\n      colour: red\n",
        "t.yaml:8: compute.networks[0].colour = 'red': unknown key",
    ),
    "a key twice": (
        HEAD + "compute:\n  networks: []\n  networks: []\n",
        "t.yaml:7: networks: the key is given twice",
    ),
    "a name": (
        HEAD + "compute:\n  networks:\n    - name: Vpc\n",
        (
            "t.yaml:7: compute.networks[0].name = 'Vpc': Must be a match of regex"
            " '(?:[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?)'"
        ),
    ),
    "a type": (
        HEAD + "compute:\n  networks:\n    - name: vpc\n      mtu: large\n",
        "t.yaml:8: compute.networks[0].mtu = 'large': must be a whole number",
    ),
    "a number for a text": (
        HEAD + "compute:\n  networks:\n    - name: 5\n",
        "t.yaml:7: compute.networks[0].name = 5: must be a text",
    ),
    "an enum": (
        HEAD + FIREWALL + "      allow: [tcp]\n      direction: up\n",
        "t.yaml:12: compute.firewalls[0].direction = 'up': must be 'INGRESS' or 'EGRESS'",
    ),
    "a port": (
        HEAD + FIREWALL + "      allow: ['tcp:99999']\n",
        (
            "t.yaml:11: compute.firewalls[0].allowed[0].ports: Invalid port range specification. ('99999' is no port"
            " up to 65535 nor a range: 80-90)"
        ),
    ),
    "a rule between fields": (
        HEAD + FIREWALL + "      deny: [tcp]\n      allow: [udp]\n",
        "t.yaml:9: compute.firewalls[0]: exactly one of allowed and denied must be given",
    ),
    "a flag of gcloud": (
        HEAD + NETWORK + "  subnetworks:\n    - name: s\n      network: vpc\n      range: 10.0.0.0/30\n",
        (
            "t.yaml:11: compute.subnetworks[0].ipCidrRange = '10.0.0.0/30': a subnet range is between /29 and /4"
            ", not 10.0.0.0/30"
        ),
    ),
    "a connector's range": (
        HEAD + CONNECTOR + "      name: c1\n      ip-cidr-range: 10.8.0.0/27\n",
        ("t.yaml:12: vpcaccess.connectors[0].ipCidrRange = '10.8.0.0/27': the range of a connector must be a /28"),
    ),
    "a connector's id": (
        HEAD + CONNECTOR + "      name: C1\n      ipCidrRange: 10.8.0.0/28\n",
        (
            "t.yaml:11: vpcaccess.connectors[0].name = 'C1': Connector ID must follow the pattern"
            " ^[a-z][-a-z0-9]{0,23}[a-z0-9]$"
        ),
    ),
    "several at once": (
        HEAD + "compute:\n  networks:\n    - name: vpc\n      mtu: 1\n    - nam: other\n",
        "t.yaml:8: compute.networks[0].mtu = 1: must be greater than or equal to 1300",
        "t.yaml:9: compute.networks[1].nam = 'other': unknown key, did you mean name?",
    ),
    "a reference to nothing": (
        HEAD + NETWORK + "  subnetworks:\n    - name: s\n      network: vcp\n      range: 10.0.0.0/24\n",
        (
            "t.yaml:10: compute.subnetworks[0].network = 'vcp': The resource 'projects/p/global/networks/vcp' was not"
            " found"
        ),
    ),
    "a service without its connector": (
        HEAD + "run:\n  services:\n    - name: web\n      template: {containers: [{}], vpcAccess: {connector: c1}}\n",
        (
            "t.yaml:8: run.services[0].template.vpcAccess.connector = 'c1': VPC connector"
            " projects/p/locations/us-central1/connectors/c1 does not exist, or Cloud Run does not have permission to"
            " use it."
        ),
    ),
    "a long value": (
        HEAD + f"colour: {'a' * 100}\n",
        f"t.yaml:5: colour = '{'a' * 56}...: unknown key",
    ),
    "a missing folder": (
        HEAD + "run:\n  services:\n    - name: web\n      template: {containers: [{}]}\n"
        "      build-config:\n        source-location: app\n",
        "t.yaml:10: run.services[0].buildConfig.sourceLocation = 'app': there is no such folder",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_errors(case: str) -> None:
    text, *expected = BAD[case]
    assert errors(text) == expected


@pytest.mark.parametrize("key", ["sharedSecret", "shared-secret", "shared_secret", "sharedsecret", "SharedSecret"])
@pytest.mark.parametrize("value", [SECRET, f"[{SECRET}]", f"{{{SECRET}: {SECRET}}}", SECRET * 10, "1234567890123"])
def test_a_secret_is_never_shown(key: str, value: str) -> None:
    tunnel = f"{{name: t, targetVpnGateway: gone, peerIp: 203.0.113.1, {key}: {value}, ikeVersion: 3}}"
    said = "\n".join(errors(f"{HEAD}compute:\n  vpnTunnels:\n    - {tunnel}\n"))
    assert "ikeVersion = 3" in said
    assert SECRET not in said
    assert "12345" not in said


def test_a_short_secret_is_not_shown_either() -> None:
    tunnel = "{name: t, targetVpnGateway: g, peerIp: 203.0.113.1, sharedSecret: sesame}"
    rule = "must have at least 8 characters"
    text = f"{HEAD}compute:\n  vpnTunnels:\n    - {tunnel}\n"
    assert errors(text) == [f"t.yaml:7: compute.vpnTunnels[0].sharedSecret: {rule}"]


def test_a_secret_is_in_no_representation() -> None:
    assert "an-example-is-no-place" not in repr(load(EXAMPLES / "serverless-vpc-access.yaml"))


def test_an_alias_of_itself_ends() -> None:
    assert errors(HEAD + "compute: &c\n  networks: [*c]\n") == [
        "t.yaml:5: compute.networks[0].name: it is required",
        "t.yaml:6: compute.networks[0].networks: unknown key",
    ]


def test_many_aliases_are_read_once() -> None:
    """Each level doubles what the level below means: 2 ** 60 values, if one went through them all."""
    levels = "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 60))
    assert len(errors(f"{HEAD}a0: &a0 [x]\n{levels}")) == 60


def test_a_file_of_another_encoding_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "t.yaml"
    file.write_bytes(b"name: \xff\xfe")
    with pytest.raises(InvalidArgument, match="cannot be read"):
        load(file)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    for path in (tmp_path / "gone.yaml", tmp_path):
        with pytest.raises(NotFound, match=r"topology file .*: not found"):
            load(path)


def test_the_defaults_may_be_urls() -> None:
    text = "name: t\nproject: p\nregion: https://www.googleapis.com/compute/v1/projects/p/regions/europe-west1\n"
    made = parse(text + NETWORK + "  subnetworks: [{name: s, network: vpc, range: 10.0.0.0/24}]\n", "t.yaml", Path())
    assert made.compute.subnetworks[0].full_name == "projects/p/regions/europe-west1/subnetworks/s"


def test_sources_are_found_from_the_file(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    service = "{name: web, buildConfig: {sourceLocation: ./app}, template: {containers: [{}]}}"
    (tmp_path / "t.yaml").write_text(f"{HEAD}run: {{services: [{service}]}}\n")
    (workload,) = load(tmp_path / "t.yaml").workloads
    assert workload.source == str(tmp_path / "app")


def test_the_example_in_gclouds_spelling_is_the_same_topology() -> None:
    file = EXAMPLES / "serverless-vpc-access.yaml"
    flags = {
        "ipCidrRange": "range", "sourceRanges": "source-ranges", "targetTags": "target-tags", "allow:": "allowed:",
        "networkIP": "network-ip", "destRange": "destination-range", "nextHopVpnTunnel": "next-hop-vpn-tunnel",
        "IPAddress": "ip-address", "IPProtocol": "ip-protocol", "portRange": "port-range",
        "minInstances": "min-instances", "vpcConnectorEgressSettings": "egress-settings",
        "authorizedNetwork": "authorized-network", "onPrem": "on-prem",
        "private-ranges-only": "PRIVATE_RANGES_ONLY", "sharedSecret": "shared-secret",
    }  # fmt: skip
    text = file.read_text()
    for field, flag in flags.items():
        assert field in text
        text = text.replace(field, flag)
    assert parse(text, "t.yaml", EXAMPLES) == load(file)


def test_the_example_describes_the_documented_case() -> None:
    made: Topology = load(EXAMPLES / "serverless-vpc-access.yaml")
    assert [(w.kind, w.connector is not None) for w in made.workloads] == [
        ("cloud-run", True),
        ("cloud-function", True),
        ("app-engine-standard", True),
        ("app-engine-flexible", False),
    ]
