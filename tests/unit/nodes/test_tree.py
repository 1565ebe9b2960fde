from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path, PurePath

from testbed.nodes import tree


def make(folder: Path) -> Path:
    (folder / "sub").mkdir(parents=True)
    (folder / "main.py").write_text("print(1)\n")
    (folder / "sub" / "run").write_text("#!/bin/sh\n")
    (folder / "sub" / "run").chmod(0o755)
    (folder / "link").symlink_to("main.py")
    return folder


def test_the_same_source_elsewhere_is_the_same(tmp_path: Path) -> None:
    one, two = make(tmp_path / "one"), make(tmp_path / "two")
    os.utime(two / "main.py", (1, 1))
    (two / "main.py").chmod(0o600)
    (two / "__pycache__").mkdir()
    (two / "__pycache__" / "main.pyc").write_text("compiled")
    assert tree.digest(one) == tree.digest(two)


def test_every_change_that_counts_changes_the_digest(tmp_path: Path) -> None:
    folder = make(tmp_path / "source")
    digests = [tree.digest(folder)]
    (folder / "main.py").write_text("print(2)\n")
    digests.append(tree.digest(folder))
    (folder / "main.py").chmod(0o755)
    digests.append(tree.digest(folder))
    (folder / "main.py").rename(folder / "app.py")
    digests.append(tree.digest(folder))
    (folder / "link").unlink()
    (folder / "link").symlink_to("app.py")
    digests.append(tree.digest(folder))
    (folder / "empty").mkdir()
    digests.append(tree.digest(folder))
    assert len(set(digests)) == len(digests)


def test_content_does_not_run_into_names(tmp_path: Path) -> None:
    digests = set()
    for index, contents in enumerate(({"a": "b", "c": ""}, {"ab": "", "c": ""}, {"a": "bc"}, {"a": "", "bc": ""})):
        folder = tmp_path / str(index)
        folder.mkdir()
        for name, content in contents.items():
            (folder / name).write_text(content)
        digests.add(tree.digest(folder))
    assert len(digests) == 4


def archived(folder: Path, prefix: PurePath = tree.ROOT, owner: int = 0) -> dict[str, tarfile.TarInfo]:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        tree.add(tar, folder, prefix, owner)
    stream.seek(0)
    with tarfile.open(fileobj=stream) as tar:
        return {member.name: member for member in tar}


def test_an_archive_is_the_folder_owned_by_the_owner(tmp_path: Path) -> None:
    members = archived(make(tmp_path / "source"), PurePath("workspace"), owner=1000)
    assert set(members) == {f"workspace{path}" for path in ("", "/main.py", "/sub", "/sub/run", "/link")}
    assert {(member.uid, member.gid) for member in members.values()} == {(1000, 1000)}
    assert members["workspace/sub/run"].mode == 0o755
    assert members["workspace/main.py"].mode == 0o644
    assert members["workspace/link"].linkname == "main.py"


def test_at_the_root_the_folder_itself_is_left_out(tmp_path: Path) -> None:
    assert [*archived(make(tmp_path / "source"))] == ["link", "main.py", "sub", "sub/run"]
