from __future__ import annotations

import gc
from pathlib import Path

import pytest

from testbed.capability import Finding
from testbed.nodes import capability
from testbed.nodes.capability import Info, disk, engine, limits, nearest_folder

INFO: Info = {
    "ServerVersion": "20.10.24+dfsg1",
    "ApiVersion": "1.41",
    "Driver": "overlay2",
    "CgroupVersion": "2",
    "MemoryLimit": True,
    "CpuCfsQuota": True,
    "PidsLimit": True,
}
SILENT: Info = "no answer: connection refused"


@pytest.mark.parametrize(("api", "present"), [("1.40", False), ("1.41", True), ("1.100", True), ("2.0", True)])
def test_the_engine_must_be_new_enough(api: str, present: bool) -> None:
    assert isinstance(INFO, dict)
    found = engine({**INFO, "ApiVersion": api})
    assert found.present is present
    assert f"(API {api}, overlay2)" in found.detail
    assert ("Docker Engine 20.10" in found.detail) is not present


def test_the_engine_is_named_with_its_version() -> None:
    assert engine(INFO) == Finding(present=True, detail="20.10.24+dfsg1 (API 1.41, overlay2)")


def test_an_engine_that_does_not_answer_has_nothing() -> None:
    assert engine(SILENT) == limits(SILENT) == Finding(present=False, detail="no answer: connection refused")


def test_limits_name_what_the_cgroups_lack() -> None:
    assert limits(INFO) == Finding(present=True, detail="cgroup v2: memory, cpu, pids")
    assert isinstance(INFO, dict)
    assert limits({**INFO, "MemoryLimit": False}) == Finding(present=False, detail="cgroup v2 without memory")


def test_room_is_measured_where_a_folder_will_be(tmp_path: Path) -> None:
    assert nearest_folder(tmp_path / "not" / "yet") == tmp_path
    assert nearest_folder(tmp_path) == tmp_path


def test_each_folder_needs_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capability, "FREE_DISK", 0)
    assert disk(tmp_path, tmp_path / "new").present
    monkeypatch.setattr(capability, "FREE_DISK", 2**62)
    finding = disk(tmp_path)
    assert not finding.present
    assert str(tmp_path) in finding.detail


def test_ansible_comes_with_the_project() -> None:
    finding = capability.ansible()
    assert finding.present, finding.detail
    assert "ansible-core" in finding.detail


@pytest.mark.filterwarnings(
    "ignore::ResourceWarning"
)  # the docker package leaves the socket that was refused to the collector
def test_no_engine_behind_the_socket_is_an_answer_not_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/docker.sock")
    seen = {each.name: each for each in capability.probe()}
    gc.collect()
    assert not seen["docker"].present
    assert seen["docker"].need == "required"
    assert seen["docker"].detail.startswith("no answer")
    assert seen["python"].present
