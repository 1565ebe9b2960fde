"""Under `testbed env`, gcloud and Google's libraries have credentials: access tokens, and ID tokens that verify."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import jwt
import pytest

from tests.e2e.gcloud import Gcloud, needs_gcloud
from tests.e2e.program import Program
from tests.e2e.rest import Rest
from tests.e2e.small import program
from tests.waiting import COMMAND

ACCOUNT = "testbed@demo.iam.gserviceaccount.com"
AUDIENCE = "https://hello.run.app"
LIBRARY = """
import json, sys, google.auth
from google.auth.transport.requests import Request
from google.oauth2 import id_token
credentials, project = google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])
credentials.refresh(Request())
print(json.dumps([project, credentials.token, id_token.fetch_id_token(Request(), sys.argv[1])]))
"""
WAYS = pytest.mark.parametrize("way", [(), ("--proxy",)], ids=["override", "proxy"])


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    with program(tmp_path_factory.mktemp("credentials"), "credentials") as made:
        made.run("up", "--empty", "--no-default-network")
        yield made


def verified(bed: Program, token: str, audience: str) -> dict[str, Any]:
    """What an ID token claims, as whoever it is shown to verifies it."""
    keys = jwt.PyJWKSet.from_dict(Rest.of(bed).call("GET", "oauth2/v3/certs"))
    key = keys[jwt.get_unverified_header(token)["kid"]]
    claims: dict[str, Any] = jwt.decode(token, key, ["RS256"], audience=audience)
    return claims


@needs_gcloud
@WAYS
def test_gcloud_prints_tokens(bed: Program, way: tuple[str, ...]) -> None:
    gcloud = Gcloud.of(bed, *way)
    token = gcloud("auth", "print-identity-token", f"--audiences={AUDIENCE}").strip()
    assert verified(bed, token, AUDIENCE)["email"] == ACCOUNT
    assert gcloud("auth", "print-identity-token").count(".") == 2
    for command in (["auth"], ["auth", "application-default"]):
        assert gcloud(*command, "print-access-token").startswith("ya29.testbed-")
    assert gcloud("compute", "networks", "list", "--format=value(name)") == ""


@WAYS
def test_a_library_finds_its_credentials(bed: Program, way: tuple[str, ...]) -> None:
    variables = bed.json("env", *way)
    done = subprocess.run(
        [sys.executable, "-c", LIBRARY, AUDIENCE],
        env=variables,
        check=False,
        capture_output=True,
        text=True,
        timeout=COMMAND,
    )
    assert done.returncode == 0, done.stderr
    project, access, identity = json.loads(done.stdout)
    assert project == "demo"
    assert access.startswith("ya29.testbed-")
    assert verified(bed, identity, AUDIENCE)["email"] == ACCOUNT
