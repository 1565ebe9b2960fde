"""A container's name that is taken: by an earlier run of the same testbed, by a request under way, by somebody else."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import docker
import pytest
import requests
from docker.errors import APIError, NotFound

from testbed.errors import AlreadyExists, FailedPrecondition
from testbed.fabric.plan import Node
from testbed.nodes import docker as driver
from testbed.nodes.container import ID
from testbed.nodes.docker import DockerNodes
from testbed.nodes.engine import engine_errors

NODE = Node("vm", "vm", "testbed/vm")


def conflict() -> APIError:
    response = requests.Response()
    response.status_code = 409
    return APIError("conflict", response, "the name is in use")


class Engine:
    """Docker, as far as names go: `owners` says what has the name at each look, None for a request under way."""

    def __init__(self, *owners: str | None) -> None:
        self.owners = list(owners)
        self.removed: list[str] = []
        self.told: dict[str, Any] = {"Driver": "fuse-overlayfs", "DriverStatus": None}
        self.has_quotas = True
        self.asked: list[object] = []
        self.containers = SimpleNamespace(create=self._create, get=self._get)

    def info(self) -> dict[str, Any]:
        return self.told

    def _create(self, **asked: object) -> str:
        self.asked.append(asked.get("storage_opt"))
        if "storage_opt" in asked and not self.has_quotas:
            response = requests.Response()
            response.status_code = 500
            raise APIError("error", response, "--storage-opt is supported only for overlay over xfs with 'pquota'")
        if self.owners:
            raise conflict()
        return "made"

    def _get(self, name: str) -> Any:
        owner = self.owners[0]
        if owner is None:
            self.owners.pop(0)
            raise NotFound(name)
        return SimpleNamespace(labels={ID: owner}, remove=self._remove)

    def _remove(self, **_: object) -> None:
        self.removed.append(str(self.owners.pop(0)))


def create(engine: Engine) -> Any:
    nodes = DockerNodes("bed", "ours", cast("docker.DockerClient", engine))
    with engine_errors("Starting vm"):
        return nodes._create(NODE, "sha256:1", "tb-bed-vm")


def test_ours_is_replaced_once_docker_has_made_it() -> None:
    engine = Engine(None, None, "ours")
    assert create(engine) == "made"
    assert engine.removed == ["ours"]


def test_another_ones_is_left_alone() -> None:
    engine = Engine("theirs")
    with pytest.raises(AlreadyExists, match="container tb-bed-vm: it exists") as caught:
        create(engine)
    assert "docker rm tb-bed-vm" in (caught.value.hint or "")
    assert engine.removed == []


def test_patience_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "PATIENCE", 0.1)
    with pytest.raises(FailedPrecondition, match="the name is in use"):
        create(Engine(*[None] * 1000))


XFS = {"Driver": "overlay2", "DriverStatus": [["Backing Filesystem", "xfs"], ["Supports d_type", "true"]]}


def test_the_storage_driver_is_asked_for_a_quota_where_it_may_have_one() -> None:
    engine = Engine()
    engine.told = XFS
    assert create(engine) == "made"
    assert engine.asked == [{"size": str(NODE.disk)}]


def test_a_driver_that_was_mounted_without_quotas_is_asked_for_none() -> None:
    engine = Engine()
    engine.told, engine.has_quotas = XFS, False
    assert create(engine) == "made"
    assert engine.asked == [{"size": str(NODE.disk)}, None]
