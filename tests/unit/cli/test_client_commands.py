"""`env`, `key` and `export`: what clients are told, as a shell reads it, and whose the files are."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from typer.testing import CliRunner

from testbed.api.callers.commands import KeyCommands
from testbed.cli import app, context, inspect
from testbed.cli import clients as commands
from testbed.cli import state as state_commands
from testbed.control.accept.plane import ControlPlane
from testbed.control.channel.listener import Service, listening
from testbed.control.channel.protocol import SOCKET
from testbed.control.commands import Commands
from testbed.control.state.store import Store
from testbed.errors import InvalidArgument, NotFound, Unavailable
from testbed.model.topology import Topology
from testbed.paths import client_folder
from testbed.topology_file import load, parse
from tests.unit.topologies import small

EMAIL = "robot@p.iam.gserviceaccount.com"


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A testbed that runs, in a folder that a shell has to be careful with."""
    root = tmp_path / "it's a $HOME"
    monkeypatch.setenv("TESTBED_STATE", str(root))
    for variable in ("TESTBED_NAME", "SUDO_UID", "SUDO_GID"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(context, "require_root", lambda: None)
    monkeypatch.setattr(state_commands, "require_root", lambda: None)
    with Store.open("t", create=True) as store:
        store.replace_topology(small())
        store.port = 7667
        client_folder("t").mkdir(parents=True)
        plane = ControlPlane(store)
        handlers = Commands(plane, cast("Any", None), cast("Any", None)).handlers()
        with listening(store.folder, Service({**handlers, **KeyCommands(plane).handlers()}, os.geteuid())):
            yield root


def run(*words: str) -> str:
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def told(*words: str) -> dict[str, str]:
    found: dict[str, str] = json.loads(run("env", "--json", *words))
    return found


@pytest.mark.parametrize("words", [(), ("--proxy",)], ids=["override", "proxy"])
def test_a_shell_reads_what_json_says(words: tuple[str, ...], state: Path) -> None:
    script = run("env", *words) + "env -0"
    shell = subprocess.run(["sh", "-c", script], env={"PATH": os.environ["PATH"]}, capture_output=True, check=True)
    read = dict(pair.split("=", 1) for pair in shell.stdout.decode().split("\0") if pair)
    assert read["CLOUDSDK_CONFIG"] == f"{state}/.clients/t/gcloud"
    assert {name: read[name] for name in told(*words)} == told(*words)


def test_overrides_name_no_proxy_and_the_proxy_overrides_nothing() -> None:
    by_override, by_proxy = told(), told("--proxy")
    assert by_override["CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE"] == "http://127.0.0.1:7667/compute/v1/"
    assert not {"HTTPS_PROXY", "https_proxy"} & set(by_override)
    assert by_proxy["HTTPS_PROXY"] == "http://127.0.0.1:7667"
    assert not [name for name in by_proxy if "OVERRIDES" in name or "CUSTOM_ENDPOINT" in name]


def test_the_defaults_are_those_of_the_topology() -> None:
    told_now = told()
    assert (told_now["CLOUDSDK_CORE_PROJECT"], told_now["CLOUDSDK_COMPUTE_ZONE"]) == ("p", "us-central1-a")
    with Store.open("t") as store:
        store.replace_topology(Topology.model_validate({"name": "t", "project": "q"}))
    told_now = told()
    assert told_now["GOOGLE_PROJECT"] == "q"
    assert not [name for name in told_now if name.endswith(("_REGION", "_ZONE"))]


def test_the_credentials_are_secret_and_stay_the_same() -> None:
    file = Path(told("--proxy")["GOOGLE_APPLICATION_CREDENTIALS"])
    first = file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
    key = json.loads(first)
    assert (key["client_email"], key["token_uri"]) == (
        "testbed@p.iam.gserviceaccount.com",
        "http://127.0.0.1:7667/token",
    )
    told()
    assert file.read_text() == first
    with Store.open("t") as store:
        store.port = 7777
    told()
    assert json.loads(file.read_text()) == {**key, "token_uri": "http://127.0.0.1:7777/token"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_the_files_are_those_of_the_user_of_sudo(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SUDO_UID", "1234")
    monkeypatch.setenv("SUDO_GID", "1235")
    (client_folder("t") / "gcloud").mkdir()
    (client_folder("t") / "gcloud" / "of_root").touch()
    told()
    key = tmp_path / "key.json"
    run("key", "create", "robot-1", "-o", str(key))
    for path in (key, *client_folder("t").rglob("*")):
        assert (path.stat().st_uid, path.stat().st_gid) == (1234, 1235), path


def test_nobody_answers(state: Path) -> None:
    (state / "t" / SOCKET).unlink()
    with pytest.raises(Unavailable, match="controller of testbed 't': it does not run"):
        run("env")


def test_keys_are_made_listed_and_deleted(state: Path) -> None:
    file = state / "key.json"
    assert run("key", "create", EMAIL, "-o", str(file)) == ""
    assert file.stat().st_mode & 0o777 == 0o600
    made = json.loads(file.read_text())
    printed = json.loads(run("key", "create", "another"))
    assert (printed["client_email"], printed["project_id"]) == ("another@p.iam.gserviceaccount.com", "p")
    both = [{"id": key["private_key_id"], "account": key["client_email"]} for key in (made, printed)]
    assert json.loads(run("key", "list", "--json")) == both
    assert json.loads(run("key", "list", EMAIL, "--json")) == both[:1]
    run("key", "delete", made["private_key_id"])
    assert json.loads(run("key", "list", "--json")) == both[1:]
    with pytest.raises(NotFound):
        run("key", "delete", made["private_key_id"])


@pytest.mark.parametrize("account", ["me", "Robot-1", "me@example.com", "robot@p.iam.gserviceaccount.com.evil", "-o"])
def test_other_accounts_than_service_accounts_have_no_keys(account: str) -> None:
    with pytest.raises(InvalidArgument, match="is not a service account"):
        run("key", "create", "--", account)


def test_a_key_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="cannot be written"):
        run("key", "create", EMAIL, "-o", str(tmp_path / "none" / "key.json"))


def test_the_state_is_exported(tmp_path: Path) -> None:
    text = run("export")
    assert parse(text, "-", tmp_path) == small()
    run("export", "-o", str(tmp_path / "t.yaml"))
    assert (tmp_path / "t.yaml").read_text() == text


def test_uploaded_source_goes_beside_the_file(state: Path, tmp_path: Path) -> None:
    source = state / "t" / "uploads" / "abc"
    source.mkdir(parents=True)
    (source / "main.py").write_text("app = None\n")
    function = {"name": "f", "buildConfig": {"entryPoint": "app", "source": str(source)}}
    with Store.open("t") as store:
        store.replace_topology(small(cloudfunctions={"functions": [function]}))
    run("export", "-o", str(tmp_path / "t.yaml"))
    (there,) = load(tmp_path / "t.yaml").cloudfunctions.functions
    assert there.build_config.source == str(tmp_path / "t-sources" / "abc")
    assert (tmp_path / "t-sources" / "abc" / "main.py").read_text() == "app = None\n"


def test_a_testbed_that_is_taken_down_meanwhile_is_named(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def go(*_: object) -> None:
        for file in (state / "t").glob("state.db*"):
            file.unlink()
        raise FileNotFoundError

    monkeypatch.setattr(commands, "annotated", go)
    with pytest.raises(NotFound, match="'t': it was taken down meanwhile"):
        run("export")


def test_what_else_is_missing_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "annotated", lambda *_: Path("/nowhere/at/all").read_text())
    with pytest.raises(FileNotFoundError):
        run("export")


def test_a_list_leaves_out_one_that_goes_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspect, "require_root", lambda: None)
    monkeypatch.setattr(inspect, "names", lambda: ["gone", "t"])
    assert [row["name"] for row in json.loads(run("ls", "--json"))] == ["t"]
