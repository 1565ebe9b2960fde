"""The programs of docs/clients.md run as they stand there."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from testbed.api import clients
from tests.clients.conftest import Served

DOCUMENT = Path(__file__).parents[2] / "docs" / "clients.md"
PROGRAM = re.compile(r"^```python\n# (testbed env[^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("way", ["testbed env", "testbed env --proxy"])
def test_programs(way: str, served: Served) -> None:
    programs = [text for how, text in PROGRAM.findall(DOCUMENT.read_text()) if how == way]
    assert programs
    served.become("testbed")
    told = clients.proxy(served.endpoint) if way.endswith("--proxy") else clients.overrides(served.endpoint)
    assert served.run([sys.executable, "-c", "\n".join(programs)], told)
