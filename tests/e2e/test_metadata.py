"""Google's own library and gcloud find out by the metadata server who they are, inside a VM and a service."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from testbed.fabric.naming import host_name
from tests.e2e import inside
from tests.e2e.gcloud import needs_gcloud
from tests.e2e.program import Program
from tests.e2e.small import file, program, small
from tests.waiting import COMMAND

PRIVATE = "199.36.153.8"
VM, SERVICE = (f"{name}@small.iam.gserviceaccount.com" for name in ("machine", "runner"))
NETWORKS = "https://compute.googleapis.com/compute/v1/projects/small/global/networks"
BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
APP = f"""\
from flask import Flask
from who import who

app = Flask(__name__)


@app.get("/")
def me():
    return who({NETWORKS!r})
"""


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    folder = tmp_path_factory.mktemp("metadata")
    source = folder / "source"
    inside.packages(source)
    (source / "who.py").write_text(inside.WHO)
    (source / "main.py").write_text(APP)
    with program(folder, "meta") as made:
        topology = small(made.name)
        compute = topology["compute"]
        compute["subnetworks"][0]["privateIpGoogleAccess"] = True
        compute["subnetworks"].append(
            {
                "name": "serverless",
                "network": "vpc",
                "ipCidrRange": "10.8.0.0/28",
                "privateIpGoogleAccess": True,
            }
        )
        scopes = ["https://www.googleapis.com/auth/cloud-platform"]
        compute["instances"][0]["serviceAccounts"] = [{"email": VM, "scopes": scopes}]
        compute["firewalls"] = [
            {
                "name": "none",
                "network": "vpc",
                "direction": "INGRESS",
                "priority": 65000,
                "denied": [{"IPProtocol": "all"}],
            }
        ]
        topology["vpcaccess"]["connectors"] = [
            {"name": "c1", "subnet": {"name": "serverless"}, "minInstances": 2, "maxInstances": 3}
        ]
        (service,) = topology["run"]["services"]
        service["buildConfig"]["sourceLocation"] = str(source)
        service["template"]["serviceAccount"] = SERVICE
        made.run("up", file(made, topology))
        for node in ("vm", "relay"):
            inside.name_in(made, node, PRIVATE, "compute.googleapis.com")
        inside.docker("cp", str(source), f"{host_name(made.name, 'vm')}:/opt/inside")
        yield made


def principals(bed: Program) -> list[str]:
    """Who made networks by the API, as the audit log has it."""
    lines = (bed.state / bed.name / "audit.jsonl").read_text().splitlines()
    made = [json.loads(line)["protoPayload"] for line in lines if "networks.insert" in line]
    return [payload["authenticationInfo"]["principalEmail"] for payload in made]


@pytest.mark.behaviour("4.7.1", "4.8.2")
def test_the_library_in_a_vm_is_the_vms_service_account(bed: Program) -> None:
    code = f"import json; from who import who; print(json.dumps(who({NETWORKS!r})))"
    told = bed.execute("vm", "env", "PYTHONPATH=/opt/inside", "python3", "-c", code).stdout
    is_account(json.loads(told), VM)
    assert principals(bed)[-1] == VM


@pytest.mark.behaviour("4.7.1", "3.3.4")
def test_the_library_in_a_service_is_the_services_account(bed: Program) -> None:
    is_account(bed.invoke("relay", "/"), SERVICE)
    assert principals(bed)[-1] == SERVICE


def is_account(found: dict[str, Any], email: str) -> None:
    assert found["kind"] == "google.auth.compute_engine.credentials"
    assert (found["email"], found["project"]) == (email, "small")
    assert found["status"] in {200, 409}, found  # the second one finds the network there


@needs_gcloud
@pytest.mark.behaviour("4.7.1")
def test_gcloud_in_a_vms_network_needs_no_key(bed: Program, tmp_path: Path) -> None:
    folder = tmp_path / "gcloud"
    trusted = tmp_path / "bundle.pem"
    trusted.write_text(inside.docker("exec", host_name(bed.name, "vm"), "cat", BUNDLE))
    variables = {
        "PATH": os.environ["PATH"], "HOME": str(tmp_path), "CLOUDSDK_CONFIG": str(folder),
        "CLOUDSDK_CORE_DISABLE_PROMPTS": "1", "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "true",
        "CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK": "true", "CLOUDSDK_SURVEY_DISABLE_PROMPTS": "true",
        "REQUESTS_CA_BUNDLE": str(trusted), "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE": str(trusted),
    }  # fmt: skip
    with inside.network_of(bed, "vm") as command:

        def gcloud(*arguments: str) -> Any:
            done = subprocess.run(
                [*command, "gcloud", *arguments, "--format=json"],
                capture_output=True,
                text=True,
                timeout=COMMAND,
                check=False,
                env=variables,
                stdin=subprocess.DEVNULL,
            )
            assert done.returncode == 0, done.stdout + done.stderr
            return json.loads(done.stdout)

        (account,) = gcloud("auth", "list")
        assert (account["account"], account["status"]) == (VM, "ACTIVE")
        gcloud("compute", "networks", "create", "by-gcloud", "--subnet-mode=custom")
        assert "by-gcloud" in {network["name"] for network in gcloud("compute", "networks", "list")}
    assert principals(bed)[-1] == VM
