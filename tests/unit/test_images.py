"""Which images are made: with an engine that only keeps a list."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import docker
import pytest
from docker.errors import ImageNotFound

from testbed.errors import Internal, NotFound, Unavailable
from testbed.nodes import debian, images
from testbed.nodes.images import PARENT, Images
from testbed.paths import IMAGES


class Engine:
    """The part of docker-py that building needs; a build is a new entry of the list."""

    def __init__(self) -> None:
        self.tags: dict[str, str] = {debian.NAME: "sha256:debian"}
        self.calls: list[str] = []
        self.built: list[tuple[str, str]] = []
        self.fails = False
        self.api = SimpleNamespace(images=self.all, build=self.build)
        self.images = SimpleNamespace(get=self.get)

    def all(self) -> list[dict[str, object]]:
        self.calls.append("list")
        return [{"Id": identifier, "RepoTags": [tag]} for tag, identifier in self.tags.items()]

    def get(self, reference: str) -> SimpleNamespace:
        self.calls.append(f"get {reference}")
        if reference not in self.tags:
            raise ImageNotFound(reference)
        return SimpleNamespace(id=self.tags[reference])

    def build(self, *, tag: str, buildargs: dict[str, str], **_: object) -> list[dict[str, object]]:
        if self.fails:
            said: list[dict[str, object]] = [{"stream": "Step 1/1 : RUN false"}, {"stream": "E: no such package"}]
            return [*said, {"errorDetail": {"message": "it failed"}}]
        self.built.append((tag, buildargs["BASE"]))
        self.tags[tag] = f"sha256:{len(self.built)}"
        return [{"stream": "Step 1/1 : FROM"}]


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TESTBED_STATE", str(tmp_path / "state"))
    for name, parent in (("base", debian.NAME), ("web", "testbed/base"), ("vm", "testbed/web")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "Dockerfile").write_text(f"ARG BASE={parent}\nFROM ${{BASE}}\n")
    return tmp_path


def made(engine: Engine, folder: Path, said: list[str] | None = None) -> Images:
    lines = [] if said is None else said
    return Images(cast(docker.DockerClient, engine), lambda name, line: lines.append(f"{name}: {line}"), folder=folder)


def test_an_image_is_built_after_those_it_stands_on(engine: Engine, folder: Path) -> None:
    said: list[str] = []
    found = made(engine, folder, said).ensure(["testbed/vm"])
    assert [tag.partition(":")[0] for tag, _ in engine.built] == ["testbed/base", "testbed/web", "testbed/vm"]
    assert [base for _, base in engine.built] == [debian.NAME, engine.built[0][0], engine.built[1][0]]
    assert found == {"testbed/vm": "sha256:3"}
    assert "testbed/web: Step 1/1 : FROM" in said


def test_the_second_time_one_list_is_all_that_is_asked_for(engine: Engine, folder: Path) -> None:
    first = made(engine, folder).ensure(["testbed/vm", "testbed/base"])
    engine.calls.clear()
    assert made(engine, folder).ensure(["testbed/vm", "testbed/base"]) == first
    assert engine.calls == ["list"]
    assert len(engine.built) == 3


def test_a_change_rebuilds_what_stands_on_it_and_nothing_else(engine: Engine, folder: Path) -> None:
    made(engine, folder).ensure(["testbed/vm"])
    (folder / "web" / "site.conf").write_text("server {}\n")
    made(engine, folder).ensure(["testbed/vm"])
    assert [tag.partition(":")[0] for tag, _ in engine.built[3:]] == ["testbed/web", "testbed/vm"]


def test_another_image_has_to_be_in_the_engine(engine: Engine, folder: Path) -> None:
    engine.tags |= {"mine:latest": "sha256:a", "mine:2": "sha256:b"}
    names = ["mine", "mine:2", "sha256:b"]
    assert list(made(engine, folder).ensure(names).values()) == ["sha256:a", "sha256:b", "sha256:b"]


def test_an_image_that_nobody_has_is_not_found(engine: Engine, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "pull", lambda _: "no such host")
    with pytest.raises(NotFound, match=r"^Image 'gcr\.io/p/app' not found\.$") as caught:
        made(engine, folder).ensure(["gcr.io/p/app"])
    assert "no such host" in (caught.value.hint or "")


def test_a_name_cannot_lead_out_of_the_folder(engine: Engine, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "pull", lambda _: "no such host")
    with pytest.raises(NotFound):
        made(engine, folder / "web").ensure(["testbed/../vm"])


def test_an_image_in_a_registry_is_pulled(engine: Engine, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "pull", lambda name: engine.tags.update({name: "sha256:pulled"}))
    assert made(engine, folder).ensure(["app:1"]) == {"app:1": "sha256:pulled"}


def test_a_failed_build_says_why(engine: Engine, folder: Path) -> None:
    engine.fails = True
    with pytest.raises(Unavailable, match=r"testbed/base could not be built: it failed\n(.*\n)*E: no such package"):
        made(engine, folder).ensure(["testbed/base"])


def test_a_dockerfile_has_to_name_its_parent(engine: Engine, folder: Path) -> None:
    (folder / "base" / "Dockerfile").write_text("FROM scratch\n")
    with pytest.raises(Internal, match="ARG BASE"):
        made(engine, folder).ensure(["testbed/base"])


def test_every_image_of_the_project_stands_on_the_same_debian() -> None:
    project = Images(cast(docker.DockerClient, None), lambda *_: None)
    names = sorted(path.parent.name for path in IMAGES.glob("*/Dockerfile"))
    assert {"base", "runtime", "connector", "vm", "redis", "vpn", "frontend", "load"} <= set(names)
    for name in names:
        parent = f"testbed/{name}"
        while parent != debian.NAME:
            parent = project._parent(parent)


def test_what_images_install_without_a_network_was_downloaded_before() -> None:
    def packages(dockerfile: Path) -> set[str]:
        one_line = dockerfile.read_text().replace("\\\n", " ")
        words = [word for command in re.findall(r"apt-get install ([^&]+)", one_line) for word in command.split()]
        return {word for word in words if not word.startswith("-")}

    downloaded = packages(IMAGES / "packages" / "Dockerfile")
    offline = [path for path in IMAGES.glob("*/Dockerfile") if "--no-download" in path.read_text()]
    assert {"dns", "nginx", "redis", "vpn"} <= {path.parent.name for path in offline}
    for path in offline:
        assert PARENT.findall(path.read_text()) == ["testbed/packages"], path
        assert packages(path) <= downloaded, path
