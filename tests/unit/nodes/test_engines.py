"""Docker Engine 20.10 and its successors: each is understood, and one that is older is refused."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import docker
import pytest

from testbed.errors import Unimplemented
from testbed.nodes import engine
from testbed.nodes.container import ID as OWNER
from testbed.nodes.docker import DockerNodes
from testbed.nodes.images import Images
from tests.unit.nodes.engines import ENGINES, ID, PARENT, Engine

each_engine = pytest.mark.parametrize("answers", ENGINES, ids=lambda answers: f"API {answers.api}")


def client(answers: Engine) -> docker.DockerClient:
    """The part of docker-py that reads images and containers, with an engine's answers."""
    image = SimpleNamespace(id=ID, attrs={"Id": ID, "Config": answers.configuration})
    container = SimpleNamespace(labels={OWNER: "ours"}, attrs={"Image": ID})
    made = SimpleNamespace(
        api=SimpleNamespace(images=lambda: answers.images),
        images=SimpleNamespace(get={ID: image}.__getitem__),
        containers=SimpleNamespace(get={"tb-bed-job": container}.__getitem__),
    )
    return cast("docker.DockerClient", made)


@each_engine
def test_an_image_is_found_by_its_name_and_by_its_id(answers: Engine) -> None:
    found = Images(client(answers), lambda *_: None).ensure(["testbed/debian:bookworm", ID])
    assert found == {"testbed/debian:bookworm": PARENT, ID: ID}


@each_engine
def test_an_image_may_have_neither_entry_point_nor_command(answers: Engine) -> None:
    assert DockerNodes("bed", "ours", client(answers)).own_command("job") == ([], [])


def old_and_new(monkeypatch: pytest.MonkeyPatch, api: str) -> list[str]:
    """Lets an engine of this API answer; what is returned says whether its client was closed."""
    closed: list[str] = []
    made = SimpleNamespace(api=SimpleNamespace(api_version=api), close=lambda: closed.append(api))
    monkeypatch.setattr(docker, "from_env", lambda **_: made)
    return closed


@pytest.mark.parametrize("api", ["1.24", "1.40"])
def test_an_engine_that_is_too_old_is_refused(monkeypatch: pytest.MonkeyPatch, api: str) -> None:
    closed = old_and_new(monkeypatch, api)
    with pytest.raises(Unimplemented, match=rf"has the API {api}, and 1\.41 \(Docker Engine 20\.10\)") as caught:
        engine.connect()
    assert "20.10 or newer" in (caught.value.hint or "")
    assert closed == [api]


@pytest.mark.parametrize("api", ["1.41", "1.52", "1.100", "2.0"])
def test_any_newer_engine_is_spoken_to(monkeypatch: pytest.MonkeyPatch, api: str) -> None:
    closed = old_and_new(monkeypatch, api)
    engine.connect()
    assert closed == []


FAILED = "The command '/bin/sh -c exit 3' returned a non-zero code: 3"
"""Recorded: engines of 20.10 to 28.5 say it twice; `error` is to go."""


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        ({"stream": "Step 1/1 : FROM"}, None),
        ({"errorDetail": {"code": 3, "message": FAILED}, "error": FAILED}, FAILED),
        ({"errorDetail": {"message": FAILED}}, FAILED),
        ({"errorDetail": {}}, "Docker does not say why"),
    ],
)
def test_why_a_build_failed(event: dict[str, Any], reason: str | None) -> None:
    assert engine.failure(event) == reason
