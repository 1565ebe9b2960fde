"""Uploaded source: what is unpacked, and what never is."""

from __future__ import annotations

import io
import os
import stat
import zipfile
from pathlib import Path

import pytest

from testbed.api.source import folders
from testbed.errors import InvalidArgument


def archive(folder: Path, *entries: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    """A zip file."""
    path = folder / "source.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in entries:
            made.writestr(name, data)
    return path


def entry(name: str, mode: int) -> zipfile.ZipInfo:
    """An entry with a mode of Unix."""
    made = zipfile.ZipInfo(name)
    made.external_attr = mode << 16
    return made


def test_a_source_is_unpacked_once(tmp_path: Path) -> None:
    packed = archive(tmp_path, ("a/", b""), ("a/b.py", b"x"), (entry("run.sh", stat.S_IFREG | 0o755), b"y"))
    made = folders.unpack(packed, "abc", tmp_path / "sources")
    assert made == tmp_path / "sources" / "abc"
    assert (made / "a" / "b.py").read_bytes() == b"x"
    assert [(made / name).stat().st_mode & 0o100 for name in ("run.sh", "a/b.py")] == [0o100, 0]
    packed.unlink()
    assert folders.unpack(packed, "abc", tmp_path / "sources") == made


@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/etc/evil", "a\\..\\evil", "a\nb", "x" * 300])
def test_nothing_leaves_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidArgument, match="no folder can have"):
        folders.unpack(archive(tmp_path, (name, b"x")), "abc", tmp_path / "sources")
    assert not list((tmp_path / "sources").iterdir())
    assert not (tmp_path / "evil").exists()


def test_links_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="a link"):
        folders.unpack(archive(tmp_path, (entry("l", stat.S_IFLNK | 0o777), b"/etc/passwd")), "abc", tmp_path / "s")


def test_a_file_cannot_be_a_folder_as_well(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="more than once"):
        folders.unpack(archive(tmp_path, ("a", b""), ("a/b", b"")), "abc", tmp_path / "s")


def test_limits_hold_whatever_the_archive_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "MAX_BYTES", 1000)
    packed = archive(tmp_path, ("bomb", bytes(5000)))
    with pytest.raises(InvalidArgument, match="limit is 1000"):
        folders.unpack(packed, "abc", tmp_path / "s")
    lying = packed.read_bytes().replace((5000).to_bytes(4, "little"), (10).to_bytes(4, "little"))
    packed.write_bytes(lying)
    with pytest.raises(InvalidArgument):
        folders.unpack(packed, "abc", tmp_path / "s")
    monkeypatch.setattr(folders, "MAX_FILES", 1)
    with pytest.raises(InvalidArgument, match="2 files"):
        folders.unpack(archive(tmp_path, ("a", b""), ("b", b"")), "abc", tmp_path / "s")


@pytest.mark.parametrize("data", [b"", b"no zip at all", b"PK\5\6" + bytes(18)[:-4]])
def test_what_is_no_archive_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x"
    path.write_bytes(data)
    with pytest.raises(InvalidArgument, match="not a zip archive"):
        folders.unpack(path, "abc", tmp_path / "s")


def test_files_are_collected_by_their_paths(tmp_path: Path) -> None:
    blob = tmp_path / "blob"
    blob.write_bytes(b"x")
    made = folders.collect({"a/b.txt": blob, "c.txt": blob}, tmp_path / "s")
    assert {str(path.relative_to(made)) for path in made.rglob("*.txt")} == {"a/b.txt", "c.txt"}
    other = folders.collect({"c.txt": blob}, tmp_path / "s")
    folders.sweep(tmp_path / "s", [str(other)])
    assert made.is_dir()  # it is new: somebody may be about to use it
    os.utime(made, (0, 0))
    folders.collect({"a/b.txt": blob, "c.txt": blob}, tmp_path / "s")
    folders.sweep(tmp_path / "s", [str(other)])
    assert made.is_dir()  # and so is one that is asked for again
    os.utime(made, (0, 0))
    folders.sweep(tmp_path / "s", [str(other)])
    assert list((tmp_path / "s").iterdir()) == [other]


def test_an_archive_of_nothing_is_an_empty_folder(tmp_path: Path) -> None:
    empty = io.BytesIO()
    zipfile.ZipFile(empty, "w").close()
    (tmp_path / "x").write_bytes(empty.getvalue())
    assert not list(folders.unpack(tmp_path / "x", "abc", tmp_path / "s").iterdir())


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    packed = archive(tmp_path, ("a.py", b"x" * 1000))
    whole = bytearray(packed.read_bytes())
    whole[34] = 0x07  # where the packed data begin: a block of a type that there is not
    packed.write_bytes(whole)
    with pytest.raises(InvalidArgument, match="not a zip archive"):
        folders.unpack(packed, "abc", tmp_path / "s")
