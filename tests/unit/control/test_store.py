from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from testbed.control.accept.plane import topology_of
from testbed.control.facts.status import notes
from testbed.control.state import store as store_module
from testbed.control.state.folders import clear, exists, folder_of, names
from testbed.control.state.lock import held
from testbed.control.state.reading import reading
from testbed.control.state.store import Store
from testbed.control.state.summary import begun, ports_of_others
from testbed.errors import InvalidArgument, NotFound, Unavailable
from testbed.paths import EXAMPLES, client_folder
from testbed.topology_file import load
from tests.unit.topologies import small


@pytest.mark.parametrize("name", ["", "..", "../etc", "a/b", "/etc", "-a", "A", "a_b", "a" * 21, "a\n"])
def test_a_name_that_is_none_reaches_no_folder(name: str) -> None:
    with pytest.raises(InvalidArgument, match="is not the name of a testbed"):
        folder_of(name)


def test_what_is_not_there_is_not_made_by_looking(state: Path) -> None:
    with pytest.raises(NotFound, match="'bed'"), Store.open("bed"):
        pass
    assert list(state.iterdir()) == []


def test_reading_makes_nothing(state: Path) -> None:
    """Not in the folder of one that an `up` is only about to make, either."""
    (state / "bed").mkdir(parents=True)
    with pytest.raises(NotFound, match="'bed'"), reading("bed"):
        pass
    assert not begun("bed")
    assert list((state / "bed").iterdir()) == []


def test_one_that_goes_while_it_is_opened_is_not_made_again(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `down` removes the file, in a folder that stays for its reports."""
    with Store.open("bed", create=True):
        pass

    def goes(name: str) -> bool:
        there = exists(name)
        (state / name / "state.db").unlink(missing_ok=True)
        return there

    monkeypatch.setattr(store_module, "exists", goes)
    with pytest.raises(NotFound, match="'bed'"), Store.open("bed"):
        pass
    assert names() == []


def test_secrets_are_their_owner_s_alone(state: Path) -> None:
    with Store.open("bed", create=True):
        files = [state / "bed", *(state / "bed").iterdir()]
        assert all(stat.S_IMODE(path.stat().st_mode) & 0o077 == 0 for path in files)


def test_a_file_that_was_only_just_made_is_a_testbed(state: Path) -> None:
    """What a kill between two lines of `open` leaves."""
    (state / "bed").mkdir()
    (state / "bed" / "state.db").touch()
    assert names() == ["bed"]
    with Store.open("bed") as store:
        assert not store.begun
        assert store.journal.recorded("container") == set()
        identity = store.id
    with Store.open("bed") as store:
        assert store.id == identity


def test_whether_there_are_vlans_is_a_part_of_the_running_state_and_stays() -> None:
    with Store.open("bed", create=True) as store:
        assert not store.running.vlans
        store.vlans = True
        store.replace_topology(small())
    with Store.open("bed") as store:
        assert store.running.vlans


@pytest.mark.parametrize(("vlans", "said"), [(True, 0), (False, 1)])
def test_that_attachments_are_untagged_is_said_where_there_are_some(vlans: bool, said: int) -> None:
    with Store.open("bed", create=True) as store:
        store.vlans = vlans
        assert len(notes(store, load(EXAMPLES / "interconnect.yaml"))) == said
        assert notes(store, small()) == []


def test_a_look_does_not_wait_for_a_writer() -> None:
    with Store.open("bed", create=True) as writer, writer.transaction():
        writer.journal.record("container", "tb-bed-a")
        with Store.open("bed") as reader:
            assert reader.journal.recorded("container") == set()


def test_a_file_that_is_no_state_is_said(state: Path) -> None:
    (state / "bed").mkdir()
    (state / "bed" / "state.db").write_bytes(b"not a database, but long enough to be looked at" * 100)
    with pytest.raises(Unavailable, match=r"file .*/bed/state\.db: it is damaged"), Store.open("bed"):
        pass


def test_processes_are_replaced_as_a_whole() -> None:
    with Store.open("bed", create=True) as store:
        store.nodes.set_processes({"a": 1, "b": 2})
        store.nodes.set_processes({"b": 3})
        assert store.nodes.processes() == {"b": 3}


def test_reports_are_kept_and_everything_else_goes(state: Path) -> None:
    folder = state / "bed"
    report = folder / "loads" / "one" / "report.html"
    for path in (report, folder / "ansible" / "run-1" / "env", folder / "controller.log"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (folder / "link").symlink_to(report.parent)
    with Store.open("bed", create=True):
        pass
    with held(folder):
        clear(folder)
    assert [path for path in state.rglob("*") if not path.is_dir()] == [report]
    assert not exists("bed")
    report.unlink()
    report.parent.rmdir()


def test_what_others_remove_meanwhile_is_no_error(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite's files beside the keys go with the last command that looks at them."""
    (state / "bed").mkdir()
    (state / "bed" / "keys.db-wal").touch()
    unlink = os.unlink

    def twice(path: Path) -> None:
        if path.name == "keys.db-wal":
            unlink(path)
        unlink(path)

    monkeypatch.setattr(os, "unlink", twice)
    clear(state / "bed")
    assert not (state / "bed").exists()


def test_what_others_make_meanwhile_goes_as_well(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`env` writes into the folder for clients."""
    public = client_folder("bed")
    public.mkdir(parents=True)
    (state / "bed").mkdir()
    rmdir, written = os.rmdir, iter([public / "bundle.pem"])

    def late(path: Path, **more: Any) -> None:
        for file in written:
            file.touch()
        rmdir(path, **more)

    monkeypatch.setattr(os, "rmdir", late)
    clear(state / "bed")
    assert not public.exists()
    assert not (state / "bed").exists()


def test_a_topology_is_put_together_once_and_again_after_each_change() -> None:
    with Store.open("bed", create=True) as store, Store.open("bed") as other:
        store.replace_topology(small())
        first = topology_of(store)
        assert topology_of(store) is first
        store.port = 1
        assert topology_of(store) is not first
        second = topology_of(store)
        other.port = 2
        assert topology_of(store) is not second


def test_what_was_rolled_back_is_not_kept() -> None:
    with Store.open("bed", create=True) as store:
        store.replace_topology(small())
        with suppress(KeyError), store.transaction():
            store.replace_topology(small().model_copy(update={"project": "other"}))
            assert topology_of(store).project == "other"
            raise KeyError
        assert topology_of(store).project == "p"


def test_the_ports_of_other_testbeds_are_known_whether_they_run_or_not() -> None:
    for name, port in (("a", 7667), ("b", 7668), ("c", 0)):
        with Store.open(name, create=True) as store:
            if port:
                store.port = port
    assert ports_of_others("b") - {0} == {7667}
    assert ports_of_others("d") - {0} == {7667, 7668}
    clear(folder_of("a"))
    assert ports_of_others("d") - {0} == {7668}
