"""Logs of JSON values in files that do not grow without end."""

from __future__ import annotations

import threading
from pathlib import Path

from testbed.control.state.json_lines import JsonLines
from testbed.json_object import Json
from tests.waiting import PATIENCE

LARGEST = 100


def log(folder: Path) -> JsonLines:
    return JsonLines(folder / "log", folder / "older")


def test_what_is_added_is_read(tmp_path: Path) -> None:
    one = log(tmp_path)
    assert [*one.read()] == []
    one.append([{"a": 1}, {"a": 2}], LARGEST)
    one.append([{"a": 3}], LARGEST)
    assert [*log(tmp_path).read()] == [{"a": 1}, {"a": 2}, {"a": 3}]


def test_one_older_file_is_kept(tmp_path: Path) -> None:
    one = log(tmp_path)
    for number in range(100):
        one.append([{"number": number}], LARGEST)
    numbers = [value["number"] for value in one.read()]
    assert numbers == [*range(numbers[0], 100)]
    assert 1 < len(numbers) < 20


def test_half_a_value_hides_no_other(tmp_path: Path) -> None:
    one = log(tmp_path)
    one.append([{"a": 1}], LARGEST)
    with (tmp_path / "log").open("a") as file:
        file.write('{"a":\n{"a": 2}\n{"a": ')
    assert [*one.read()] == [{"a": 1}, {"a": 2}]


def test_following_misses_nothing_when_a_new_file_is_begun(tmp_path: Path) -> None:
    one, found, stop = log(tmp_path), list[Json](), threading.Event()
    one.append([{"number": 0}], LARGEST)
    seen = threading.Event()

    def follow() -> None:
        for value in log(tmp_path).follow(stop.is_set):
            found.append(value)
            seen.set()
            if value["number"] == 39:
                return

    thread = threading.Thread(target=follow)
    thread.start()
    for number in range(1, 40):
        assert seen.wait(PATIENCE)
        seen.clear()
        one.append([{"number": number}], LARGEST)
    thread.join(PATIENCE)
    stop.set()
    assert [value["number"] for value in found] == [*range(40)]


def test_following_ends_with_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    one = log(folder)
    one.append([{"a": 1}], LARGEST)
    values = one.follow()
    assert next(values) == {"a": 1}
    (folder / "log").unlink()
    folder.rmdir()
    assert [*values] == []
