"""What is deployed from an uploaded source runs behind its connector, and answers at its URL by the proxy."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from testbed.paths import EXAMPLES
from tests.e2e.program import Program
from tests.e2e.readers import LONGEST
from tests.e2e.rest import Json, Rest
from tests.e2e.small import program, small
from tests.waiting import PATIENCE, QUIET

FUNCTIONS = "v2/projects/small/locations/us-central1/functions"
NAME = "projects/small/locations/us-central1/functions/hello"
CONNECTOR = "projects/small/locations/us-central1/connectors/c1"
VERSIONS = "v1/apps/small/services/default/versions"
VM = "/http?url=http://10.128.0.2/&timeout="


@pytest.fixture(scope="module")
def rest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rest]:
    with program(tmp_path_factory.mktemp("deploy"), "deploy") as made:
        topology = small(made.name)
        del topology["run"]
        yield Rest.up(made, topology)


def uploaded(rest: Rest) -> Json:
    """The example's service as the source of a function."""
    given = rest.call("POST", f"{FUNCTIONS}:generateUploadUrl", {})
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for file in (EXAMPLES / "relay").glob("*.*"):
            archive.write(file, file.name)
    requests.put(given["uploadUrl"], data=packed.getvalue(), timeout=PATIENCE).raise_for_status()
    return {"storageSource": given["storageSource"]}


def seen(rest: Rest, url: str) -> str:
    """The source address that the VM saw when a service called it, which was asked at its own URL."""
    door = {"http": rest.root, "https": rest.root}
    answer: dict[str, Any] = requests.get(url, proxies=door, timeout=PATIENCE).json()
    return str(answer["body"]["client"])


def test_a_function_answers_at_its_url(rest: Rest) -> None:
    build = {"runtime": "python311", "entryPoint": "relay", "source": uploaded(rest)}
    rest.make(f"{FUNCTIONS}?functionId=hello", {"buildConfig": build, "serviceConfig": {"vpcConnector": CONNECTOR}})
    url = rest.call("GET", f"v2/{NAME}")["url"].replace("https:", "http:")  # tests/clients are asked by TLS
    assert seen(rest, f"{url}{VM}{LONGEST}").startswith("10.8.0.")


def test_traffic_moves_to_another_version(rest: Rest) -> None:
    source = uploaded(rest)["storageSource"]
    archive = f"https://storage.googleapis.com/{source['bucket']}/{source['object']}"
    rest.make("v1/apps", {"id": "small", "locationId": "us-central"})
    plain: Json = {"runtime": "python311", "deployment": {"zip": {"sourceUrl": archive}}}
    rest.make(VERSIONS, {**plain, "id": "v1"})
    rest.make(VERSIONS, {**plain, "id": "v2", "vpcAccessConnector": {"name": CONNECTOR}})
    assert lost(rest.bed)
    operation = rest.done(
        "PATCH", "v1/apps/small/services/default?updateMask=split", {"split": {"allocations": {"v2": 1}}}
    )
    assert "error" not in operation
    assert seen(rest, f"http://small.appspot.com{VM}{LONGEST}").startswith("10.8.0.")


def lost(bed: Program) -> bool:
    """Whether the app does not reach the VM."""
    return bed.run("invoke", "small", f"{VM}{QUIET}", check=False).returncode != 0
