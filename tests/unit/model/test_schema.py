"""The published JSON schema: it is up to date, accepts what the model accepts, and refuses what it can."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from pydantic import ValidationError
from typer.testing import CliRunner

from testbed.cli import app
from testbed.model.core.resource import Defaults
from testbed.model.topology import Topology
from testbed.paths import EXAMPLES

KNOWN = Defaults("demo-project", "us-central1", "us-central1-a")
PUBLISHED = Path(__file__).parents[3] / "docs" / "topology.schema.json"
Change = Callable[[dict[str, Any]], object]


@cache
def schema() -> Draft202012Validator:
    return Draft202012Validator(json.loads(PUBLISHED.read_text()))


def example() -> dict[str, Any]:
    data = yaml.safe_load((EXAMPLES / "serverless-vpc-access.yaml").read_text())
    return copy.deepcopy(dict(data))


def valid(data: dict[str, Any]) -> bool:
    try:
        Topology.model_validate(data, context=KNOWN)
    except ValidationError:
        return False
    return True


def test_it_is_up_to_date() -> None:
    result = CliRunner().invoke(app, ["schema"])
    assert result.stdout == PUBLISHED.read_text(), "make schema"


def test_it_is_a_schema() -> None:
    Draft202012Validator.check_schema(json.loads(PUBLISHED.read_text()))


def test_the_example_is_valid() -> None:
    assert [error.message for error in schema().iter_errors(example())] == []


REFUSED: dict[str, Change] = {
    "no name": lambda d: d.pop("name"),
    "no project": lambda d: d.pop("project"),
    "a long name's characters": lambda d: d.update(name="Demo"),
    "an unknown key": lambda d: d.update(colour="red"),
    "an unknown nested key": lambda d: d["compute"]["networks"][0].update(colour="red"),
    "snake case": lambda d: d["compute"]["subnetworks"][0].update(ip_cidr_range="10.0.0.0/24"),
    "a number for a text": lambda d: d["compute"]["networks"][0].update(name=5),
    "a text for a number": lambda d: d["compute"]["networks"][0].update(mtu="large"),
    "a text for a list": lambda d: d["compute"].update(networks="vpc"),
    "a small mtu": lambda d: d["compute"]["networks"][0].update(mtu=1000),
    "a subnet without a range": lambda d: d["compute"]["subnetworks"][0].pop("ipCidrRange"),
    "no range": lambda d: d["compute"]["subnetworks"][0].update(ipCidrRange="hello"),
    "no address": lambda d: d["compute"]["addresses"][0].update(address="10.0.0.0/24"),
    "a machine type": lambda d: d["vpcaccess"]["connectors"][0].update(machineType="n1-standard-1"),
    "too few instances": lambda d: d["vpcaccess"]["connectors"][0].update(minInstances=1),
    "too many instances": lambda d: d["vpcaccess"]["connectors"][0].update(maxInstances=11),
    "an egress setting": lambda d: d["run"]["services"][0]["template"]["vpcAccess"].update(egress="some"),
    "no container": lambda d: d["run"]["services"][0]["template"].update(containers=[]),
    "a function without an entry point": lambda d: d["cloudfunctions"]["functions"][0]["buildConfig"].pop("entryPoint"),
    "a version's name": lambda d: d["appengine"]["versions"][0].update(name="v1"),
    "an environment": lambda d: d["appengine"]["versions"][0].update(env="other"),
    "a priority": lambda d: d["compute"]["firewalls"][0].update(priority=65536),
    "a direction": lambda d: d["compute"]["firewalls"][0].update(direction="up"),
    "a short secret": lambda d: d["compute"]["vpnTunnels"][0].update(sharedSecret="x"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_the_model_refuses_the_schema_refuses(case: str) -> None:
    data = example()
    assert valid(data)
    REFUSED[case](data)
    assert not valid(data)
    assert not schema().is_valid(data)


def respell(data: dict[str, Any], field: str, flag: str) -> None:
    data[flag] = data.pop(field)


ACCEPTED: dict[str, Change] = {
    "range": lambda d: respell(d["compute"]["subnetworks"][0], "ipCidrRange", "range"),
    "ip-cidr-range": lambda d: respell(d["compute"]["subnetworks"][0], "ipCidrRange", "ip-cidr-range"),
    "ip-address": lambda d: respell(d["compute"]["forwardingRules"][0], "IPAddress", "ip-address"),
    "on-prem": lambda d: respell(d, "onPrem", "on-prem"),
    "subnet-mode": lambda d: d["compute"]["networks"][0].update({"subnet-mode": "custom"}),
    "the API's messages": lambda d: d["compute"]["firewalls"][0].update(
        allow=[{"IPProtocol": "tcp", "ports": [80, "81"]}]
    ),
    "one flag for all": lambda d: d["compute"]["firewalls"][0].update(allow="tcp:80,icmp"),
    "a direction": lambda d: d["compute"]["firewalls"][0].update(direction="in"),
    "an egress setting": lambda d: d["run"]["services"][0]["template"]["vpcAccess"].update(egress="all"),
    "a text for a port": lambda d: d["compute"]["forwardingRules"][1].update(portRange="500"),
    "an environment": lambda d: d["appengine"]["versions"][1].update(env="flexible"),
    "no address": lambda d: d["compute"]["addresses"][0].update(address=None),
}


@pytest.mark.parametrize("case", ACCEPTED)
def test_what_the_model_accepts_the_schema_accepts(case: str) -> None:
    data = example()
    ACCEPTED[case](data)
    assert valid(data)
    assert [error.message for error in schema().iter_errors(data)] == []
