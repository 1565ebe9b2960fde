"""Which images are made: with an engine that only keeps a list."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import IO, cast

import docker
import pytest
from docker.errors import ImageNotFound

from testbed.errors import Internal, NotFound, ResourceExhausted, Unavailable
from testbed.nodes import debian, images, tree, wheels
from testbed.nodes.images import PARENT, Images
from testbed.nodes.making import Making
from testbed.nodes.stop import Stop
from testbed.paths import IMAGES
from tests.waiting import PATIENCE, eventually


class Engine:
    """The part of docker-py that building needs; a build is a new entry of the list."""

    def __init__(self) -> None:
        self.tags: dict[str, str] = {debian.NAME: "sha256:debian"}
        self.calls: list[str] = []
        self.built: list[tuple[str, str]] = []
        self.contexts: dict[str, set[str]] = {}
        self.fails = False
        self.api = SimpleNamespace(images=self.all, build=self.build, hooks={"response": []})
        self.close = lambda: None
        self.images = SimpleNamespace(get=self.get)

    def all(self) -> list[dict[str, object]]:
        self.calls.append("list")
        return [{"Id": identifier, "RepoTags": [tag]} for tag, identifier in self.tags.items()]

    def get(self, reference: str) -> SimpleNamespace:
        self.calls.append(f"get {reference}")
        if reference not in self.tags:
            raise ImageNotFound(reference)
        return SimpleNamespace(id=self.tags[reference])

    def build(self, *, tag: str, buildargs: dict[str, str], fileobj: IO[bytes], **_: object) -> list[dict[str, object]]:
        if self.fails:
            said: list[dict[str, object]] = [{"stream": "Step 1/1 : RUN false"}, {"stream": "E: no such package"}]
            return [*said, {"errorDetail": {"message": "it failed"}}]
        with tarfile.open(fileobj=fileobj) as context:
            self.contexts[tag.partition(":")[0]] = set(context.getnames())
        self.built.append((tag, buildargs["BASE"]))
        self.tags[tag] = f"sha256:{len(self.built)}"
        return [{"stream": "Step 1/1 : FROM"}]


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    engine = Engine()
    monkeypatch.setattr(images, "connect", lambda: engine)
    return engine


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TESTBED_STATE", str(tmp_path / "state"))
    for name, parent in (("base", debian.NAME), ("web", "testbed/base"), ("vm", "testbed/web")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "Dockerfile").write_text(f"ARG BASE={parent}\nFROM ${{BASE}}\n")
    return tmp_path


def made(engine: Engine, folder: Path, said: list[Making] | None = None) -> Images:
    told: list[Making] = [] if said is None else said
    return Images(cast(docker.DockerClient, engine), told.append, folder=folder)


def test_an_image_is_built_after_those_it_stands_on(engine: Engine, folder: Path) -> None:
    said: list[Making] = []
    found = made(engine, folder, said).ensure(["testbed/vm"])
    assert [tag.partition(":")[0] for tag, _ in engine.built] == ["testbed/base", "testbed/web", "testbed/vm"]
    assert [base for _, base in engine.built] == [debian.NAME, engine.built[0][0], engine.built[1][0]]
    assert found == {"testbed/vm": "sha256:3"}
    assert ("web 1/1", 1, 3) in [(now.text, now.done, now.total) for now in said]
    assert [now.news for now in said if now.news] == ["base: done (1 of 3)", "web: done (2 of 3)", "vm: done (3 of 3)"]


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
    monkeypatch.setattr(images, "pull", lambda *_: "no such host")
    with pytest.raises(NotFound, match=r"^Image 'gcr\.io/p/app' not found\.$") as caught:
        made(engine, folder).ensure(["gcr.io/p/app"])
    assert "no such host" in (caught.value.hint or "")


def test_a_name_cannot_lead_out_of_the_folder(engine: Engine, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "pull", lambda *_: "no such host")
    with pytest.raises(NotFound):
        made(engine, folder / "web").ensure(["testbed/../vm"])


def test_an_image_in_a_registry_is_pulled(engine: Engine, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "pull", lambda name, _: engine.tags.update({name: "sha256:pulled"}))
    assert made(engine, folder).ensure(["app:1"]) == {"app:1": "sha256:pulled"}


def test_a_failed_build_says_why(engine: Engine, folder: Path) -> None:
    engine.fails = True
    with pytest.raises(Unavailable, match=r"testbed/base could not be built: it failed\n(.*\n)*E: no such package"):
        made(engine, folder).ensure(["testbed/base"])


def test_a_full_disk_is_said_to_be_full(engine: Engine, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(tree, "add", full)
    with pytest.raises(ResourceExhausted, match="No space left on device") as caught:
        made(engine, folder).ensure(["testbed/base"])
    assert str(folder / "state") in (caught.value.hint or "")


def test_a_second_process_says_that_it_waits(engine: Engine, folder: Path) -> None:
    said: list[Making] = []
    state = folder / "state"
    state.mkdir()
    with ThreadPoolExecutor() as pool, (state / "images.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = pool.submit(made(engine, folder, said).ensure, ["testbed/base"])
        try:
            eventually(lambda: said, "it says that it waits")
            assert not engine.built
        finally:
            fcntl.flock(lock, fcntl.LOCK_UN)
        assert found.result(PATIENCE) == {"testbed/base": "sha256:1"}
    assert said[0].news == "waiting for another testbed that builds images"


def test_python_packages_are_there_before_their_image_is_built(
    engine: Engine, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "web" / "requirements.txt").write_text("flask==3.1.3\n")

    def download(_: Path, packages: Path, stop: Stop) -> None:
        assert isinstance(stop, Stop)
        packages.mkdir()
        (packages / "flask.whl").touch()

    monkeypatch.setattr(wheels, "download", download)
    made(engine, folder).ensure(["testbed/web"])
    assert {"Dockerfile", "requirements.txt", "wheels/flask.whl", "wheels/pip/__main__.py"} <= engine.contexts[
        "testbed/web"
    ]
    assert not (folder / "state" / "build").exists()


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
