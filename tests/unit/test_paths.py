from __future__ import annotations

from pathlib import Path

import pytest

from testbed import paths


def test_the_projects_folders_are_found_from_the_package() -> None:
    assert (paths.PROJECT / "pyproject.toml").is_file()
    assert all(each.is_dir() for each in (paths.IMAGES, paths.PLAYBOOKS, paths.LOADTESTS, paths.EXAMPLES))


@pytest.mark.parametrize(("value", "root"), [("/tmp/state", "/tmp/state"), ("", "/var/lib/testbed")])  # noqa: S108
def test_the_state_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch, value: str, root: str) -> None:
    monkeypatch.setenv("TESTBED_STATE", value)
    assert paths.state_root() == Path(root)


def test_the_state_has_a_place_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TESTBED_STATE", raising=False)
    assert paths.state_root() == Path("/var/lib/testbed")
