"""What is installed to check the code is what runs in the images."""

from __future__ import annotations

import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]


def test_locust_is_checked_in_the_version_that_runs() -> None:
    image = (ROOT / "images" / "load" / "requirements.txt").read_text().split()
    (pinned,) = (line for line in image if line.startswith("locust=="))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert pinned in project["optional-dependencies"]["dev"]


def test_what_compose_runs_is_what_the_project_asks_for() -> None:
    lines = (ROOT / "images" / "testbed.requirements.txt").read_text().splitlines()
    pinned = dict(line.split("==") for line in lines if not line.startswith("#"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for wanted in map(Requirement, project["dependencies"]):
        assert pinned[canonicalize_name(wanted.name)] in wanted.specifier
