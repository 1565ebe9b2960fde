"""`testbed up` is over when the containers of services listen: whoever calls next gets an answer, and no 502."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.program import Program
from tests.e2e.small import file, program, small
from tests.waiting import eventually

SERVES = """
import http.server, json, time
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(json.dumps({"late": True}).encode())
time.sleep(4)
http.server.HTTPServer(("", 8080), Handler).serve_forever()
"""
ENDS = "import time; time.sleep(4); print('out of luck'); raise SystemExit(3)"


@pytest.fixture
def bed(tmp_path: Path) -> Iterator[Program]:
    with program(tmp_path, "listen") as made:
        yield made


def with_service(bed: Program, script: str) -> dict[str, Any]:
    """A service of this program, and nothing else."""
    container = {"image": "testbed/runtime", "command": ["python3"], "args": ["-c", script]}
    service = {"name": "late", "template": {"containers": [container]}}
    return {**small(bed.name), "vpcaccess": {}, "run": {"services": [service]}}


def test_a_container_that_is_slow_to_listen_is_waited_for(bed: Program) -> None:
    bed.run("up", file(bed, with_service(bed, SERVES)))
    assert bed.invoke("late", "/") == {"late": True}


def test_a_container_that_ends_is_named_and_the_rest_is_there(bed: Program) -> None:
    ended = bed.run("up", file(bed, with_service(bed, ENDS)), "--json", check=False)
    assert ended.returncode == 70
    assert set(json.loads(ended.stdout)["failed"]) == {"projects/small/locations/us-central1/services/late"}
    assert "failed to start and listen on the port" in ended.stderr
    assert "testbed logs late" in ended.stderr
    # It is made anew every few seconds, and the log is that of the last one.
    eventually(lambda: "out of luck" in bed.run("logs", "late", check=False).stdout, "what the container has written")
    assert bed.execute("vm", "true").returncode == 0
