"""A folder as one value: its digest, and its copy as a tar archive.

Both see the same: names, contents, symbolic links, and whether a file is executable.  Owners, times and the umask of
the user who checked the folder out do not count, so that the same source is the same value on every machine.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath

ROOT = PurePath()
IGNORED = frozenset({"__pycache__", ".git"})
"""Names that are no part of a source."""


def entries(folder: Path) -> Iterator[Path]:
    """Everything below a folder that counts, each folder before what is in it, in the order of names.

    Raises:
        OSError: a folder cannot be read.

    """
    for path in sorted(folder.iterdir()):
        if path.name in IGNORED:
            continue
        if path.is_symlink() or path.is_file():
            yield path
        elif path.is_dir():
            yield path
            yield from entries(path)


def mode(path: Path) -> int:
    """The mode that a copy gets: 0755 for folders and executable files, 0644 for other files."""
    return 0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644


def digest(folder: Path) -> str:
    """SHA-256 of a folder: equal digests mean that `archive` makes equal copies.

    Raises:
        OSError: something in the folder cannot be read.

    """
    total = hashlib.sha256()
    for path in entries(folder):
        if path.is_symlink():
            kind, content = "link", str(path.readlink()).encode()
        elif path.is_dir():
            kind, content = "folder", b""
        else:
            kind, content = f"{mode(path):o}", path.read_bytes()
        line = f"{kind}\0{path.relative_to(folder)}\0{hashlib.sha256(content).hexdigest()}\n"
        total.update(line.encode("utf-8", "surrogateescape"))
    return total.hexdigest()


def add(tar: tarfile.TarFile, folder: Path, prefix: PurePath = ROOT, owner: int = 0) -> None:
    """Add a folder to an archive as `prefix`, owned by user and group `owner`; at the root, its content alone.

    Raises:
        OSError: something in the folder cannot be read.

    """
    paths = entries(folder) if prefix == ROOT else (folder, *entries(folder))
    for path in paths:
        member = tar.gettarinfo(path, arcname=str(prefix / path.relative_to(folder)))
        member.uid = member.gid = owner
        member.uname = member.gname = ""
        if not member.issym():
            member.mode = mode(path)
        if member.isreg():
            with path.open("rb") as content:
                tar.addfile(member, content)
        else:
            tar.addfile(member)


def add_files(tar: tarfile.TarFile, files: Mapping[str, str | bytes], owner: int) -> None:
    """Add files, path to content, to an archive; they belong to user and group `owner`."""
    for path, content in files.items():
        data = content.encode() if isinstance(content, str) else content
        member = tarfile.TarInfo(path.removeprefix("/"))
        member.size, member.mode, member.mtime = len(data), 0o644, int(time.time())
        member.uid = member.gid = owner
        tar.addfile(member, io.BytesIO(data))


def packed(files: Mapping[str, str | bytes], owner: int) -> bytes:
    """Files, path to content, as a tar archive; they belong to user and group `owner`."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        add_files(tar, files, owner)
    return stream.getvalue()
