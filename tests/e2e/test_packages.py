"""What a deployed source asks for is installed at its deployment, from the index that the user's pip has."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import requests

from tests.e2e.rest import Json, Rest
from tests.e2e.small import program, small
from tests.waiting import PATIENCE

FUNCTIONS = "v2/projects/small/locations/us-central1/functions"
FUNCTIONS_V1 = "v1/projects/small/locations/us-central1/functions"
VERSIONS = "v1/apps/small/services/default/versions"
PASSWORD = "s3cret-of-the-index"
FUNCTION = "import greeter\ndef hello(request):\n    return greeter.TEXT\n"
APP = "import flask, greeter\napp = flask.Flask('x')\n@app.get('/')\ndef hello():\n    return greeter.TEXT\n"


def wheel(name: str, text: str, version: str = "1.0", needs: str = "") -> bytes:
    made = io.BytesIO()
    info = f"{name}-{version}.dist-info"
    needed = f"Requires-Dist: {needs}\n" if needs else ""
    files = {
        f"{name}.py": text,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needed}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    with zipfile.ZipFile(made, "w") as archive:
        for path, content in files.items():
            archive.writestr(path, content)
        archive.writestr(f"{info}/RECORD", "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"]))
    return made.getvalue()


class Index:
    """A package index (PEP 503) that asks for a password."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        packages = {
            "greeter": wheel("greeter", "from words import TEXT\n", needs="words"),
            "words": wheel("words", "TEXT = 'greetings from an index'\n"),
        }
        allowed = "Basic " + base64.b64encode(f"me:{PASSWORD}".encode()).decode()
        asked = self.asked

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                name = self.path.strip("/").split("/")[-1]
                asked.append(name)
                if self.headers.get("Authorization") != allowed:
                    self._answer(401, b"", "text/plain", {"WWW-Authenticate": "Basic"})
                elif name.endswith(".whl"):
                    self._answer(200, packages[name.partition("-")[0]], "application/octet-stream", {})
                elif name in packages:
                    link = f'<a href="{name}-1.0-py3-none-any.whl">{name}-1.0-py3-none-any.whl</a>'
                    self._answer(200, link.encode(), "text/html", {})
                else:
                    self._answer(404, b"", "text/plain", {})

            def _answer(self, status: int, body: bytes, kind: str, headers: dict[str, str]) -> None:
                self.send_response(status)
                for key, value in {**headers, "Content-Type": kind, "Content-Length": str(len(body))}.items():
                    self.send_header(key, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://me:{PASSWORD}@127.0.0.1:{self.server.server_port}/simple"


@pytest.fixture(scope="module")
def index() -> Iterator[Index]:
    made = Index()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture(scope="module")
def rest(tmp_path_factory: pytest.TempPathFactory, index: Index) -> Iterator[Rest]:
    folder: Path = tmp_path_factory.mktemp("packages")
    configuration = folder / "pip.conf"
    configuration.write_text(f"[global]\nindex-url = {index.url}\nno-index = false\nretries = 0\n")
    with program(folder, "pkg") as made:
        made.environment |= {"PIP_CONFIG_FILE": str(configuration), "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
        topology = small(made.name)
        del topology["run"]
        rest = Rest.up(made, topology)
        rest.make("v1/apps", {"id": "small", "locationId": "us-central"})
        yield rest


def archive(rest: Rest, main: str, requirements: str) -> Json:
    given = rest.call("POST", f"{FUNCTIONS}:generateUploadUrl", {})
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as files:
        files.writestr("main.py", main)
        files.writestr("requirements.txt", requirements)
    requests.put(given["uploadUrl"], data=packed.getvalue(), timeout=PATIENCE).raise_for_status()
    found: Json = given["storageSource"]
    return found


def deploy(rest: Rest, name: str, requirements: str) -> Json:
    source = {"storageSource": archive(rest, FUNCTION, requirements)}
    build = {"runtime": "python311", "entryPoint": "hello", "source": source}
    return rest.done("POST", f"{FUNCTIONS}?functionId={name}", {"buildConfig": build})


def test_a_function_has_what_it_asks_for(rest: Rest, index: Index) -> None:
    assert "error" not in deploy(rest, "one", "greeter\n")
    assert rest.bed.run("invoke", "one").stdout.strip() == "greetings from an index"
    asked = len(index.asked)
    assert "error" not in deploy(rest, "two", "greeter  # once more\n")
    assert rest.bed.run("invoke", "two").stdout.strip() == "greetings from an index"
    assert len(index.asked) == asked  # what was asked for before is there


def test_a_first_generation_function_and_an_app_have_it_too(rest: Rest) -> None:
    place = archive(rest, FUNCTION, "greeter>=1\nflask\n")
    old = {
        "name": "projects/small/locations/us-central1/functions/old",
        "runtime": "python311",
        "entryPoint": "hello",
        "httpsTrigger": {},
        "sourceArchiveUrl": f"gs://{place['bucket']}/{place['object']}",
    }
    rest.make(FUNCTIONS_V1, old)
    assert rest.bed.run("invoke", "old").stdout.strip() == "greetings from an index"
    place = archive(rest, APP, "greeter>=1\nflask\n")
    url = f"https://storage.googleapis.com/{place['bucket']}/{place['object']}"
    rest.make(VERSIONS, {"id": "v1", "runtime": "python311", "deployment": {"zip": {"sourceUrl": url}}})
    assert rest.bed.run("invoke", "small").stdout.strip() == "greetings from an index"


def test_what_is_not_there_ends_the_operation_with_pips_own_words(rest: Rest) -> None:
    error = deploy(rest, "none", "nobody-has-this==7\n")["error"]
    assert error["message"].startswith("Build failed: ")
    assert "No matching distribution found for nobody-has-this==7" in error["message"]
    assert PASSWORD not in json.dumps(error)
    assert rest.call("GET", f"{FUNCTIONS}/none")["state"] == "FAILED"


def test_a_build_that_fails_leaves_what_serves(rest: Rest) -> None:
    assert "error" not in deploy(rest, "kept", "greeter\n")
    source = {"storageSource": archive(rest, FUNCTION, "nobody-has-this==8\n")}
    build = {"runtime": "python311", "entryPoint": "hello", "source": source}
    done = rest.done("PATCH", f"{FUNCTIONS}/kept?updateMask=buildConfig", {"buildConfig": build})
    assert "nobody-has-this==8" in done["error"]["message"]
    assert rest.bed.run("invoke", "kept").stdout.strip() == "greetings from an index"


def test_the_password_of_the_index_is_nowhere_else(rest: Rest) -> None:
    assert "error" not in deploy(rest, "secretive", "greeter==1.*\nwords\n")
    listed = ["docker", "ps", "-aq", "--filter", f"label=dev.testbed.name={rest.bed.name}"]
    ids = subprocess.run(listed, capture_output=True, text=True, check=True).stdout.split()
    shown = subprocess.run(["docker", "inspect", *ids], capture_output=True, text=True, check=True).stdout
    assert PASSWORD not in shown
    for path in rest.bed.state.rglob("*"):
        if path.is_file():
            assert PASSWORD.encode() not in path.read_bytes(), path


def test_a_topology_file_s_source_has_it_too(rest: Rest, tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(APP)
    (tmp_path / "requirements.txt").write_text("greeter\n")
    topology = small(rest.bed.name)
    topology["run"]["services"][0]["buildConfig"]["sourceLocation"] = str(tmp_path)
    rest.bed.up(topology)
    assert rest.bed.run("invoke", "relay").stdout.strip() == "greetings from an index"
