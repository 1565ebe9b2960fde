"""Makes folders of uploaded source code.  What is uploaded is not trusted: it lands in its own folder or nowhere.

A folder is named by what it was made from, so the same source is the same folder, and one that is there is whole.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
import time
import zipfile
import zlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from lzma import LZMAError
from pathlib import Path, PurePosixPath

from testbed.errors import InvalidArgument

MAX_FILES = 10_000
"""Files of one deployment: App Engine's own limit."""
MAX_BYTES = 512 << 20
"""Bytes of all files of one deployment together (Cloud Functions takes 500 MB of source)."""
AGE = 3600.0
"""Seconds that a folder is kept without being used: between its making and its use there is no lock."""
_CHUNK = 1 << 20
_UNREADABLE = (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, UnicodeError, zlib.error, LZMAError)
"""What `zipfile` raises of an archive that is damaged, encrypted or packed in a way of its own."""
_DEEPEST = 32
_LONGEST = 255
"""Bytes of one name: what the file system takes."""


def unpack(archive: Path, digest: str, root: Path) -> Path:
    """The folder with what a zip has in it; `digest` is the zip's own.

    Raises:
        InvalidArgument: it is no zip, or one that no source needs to be: paths that lead out of the folder, links,
            more or larger files than the limits allow.
    """
    with _made(root, digest) as (folder, new):
        if new:
            try:
                with zipfile.ZipFile(archive) as opened:
                    _extract(opened, folder)
            except _UNREADABLE as error:
                raise InvalidArgument(f"source: it is not a zip archive: {error}") from None
    return root / digest


def collect(files: Mapping[str, Path], root: Path) -> Path:
    """The folder with files by their paths in it; the files themselves never change.

    Raises:
        InvalidArgument: a path leads out of the folder, or there are too many.
    """
    _limit(files, sum(path.stat().st_size for path in files.values()))
    named = {safe(name): path for name, path in files.items()}
    text = "\n".join(f"{name}\0{path.name}" for name, path in sorted(named.items()))
    digest = hashlib.sha256(text.encode()).hexdigest()
    with _made(root, digest) as (folder, new):
        if new:
            for name, path in named.items():
                with _writing(folder, name) as target:
                    os.link(path, target)
    return root / digest


def sweep(root: Path, used: Collection[str]) -> None:
    """Remove the folders that nothing uses any more; a folder that a call may be about to use stays."""
    for path in root.iterdir() if root.is_dir() else ():
        with suppress(FileNotFoundError):  # somebody else has swept it away
            if str(path) not in used and time.time() - path.stat().st_mtime > AGE:
                shutil.rmtree(path, ignore_errors=True)


def safe(name: str) -> PurePosixPath:
    """A path inside a folder, as an archive writes it.

    Raises:
        InvalidArgument: it leads somewhere else.
    """
    path = PurePosixPath(name)
    parts = path.parts
    odd = path.is_absolute() or ".." in parts or not parts or "\\" in name or any(ord(char) < 32 for char in name)
    if odd or len(parts) > _DEEPEST or any(len(os.fsencode(part)) > _LONGEST for part in parts):
        raise InvalidArgument(f"source: no folder can have the file {name[:200]!r}")
    return path


def _extract(archive: zipfile.ZipFile, folder: Path) -> None:
    entries = archive.infolist()
    _limit(entries, sum(entry.file_size for entry in entries))
    left = MAX_BYTES
    for entry in entries:
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if kind not in {0, stat.S_IFREG, stat.S_IFDIR}:
            raise InvalidArgument(f"source: {entry.filename[:200]!r} is a link or a device")
        name = safe(entry.filename)
        if entry.is_dir():
            with _writing(folder, name) as path:
                path.mkdir(exist_ok=True)
            continue
        with _writing(folder, name) as path, archive.open(entry) as packed, path.open("xb") as file:
            while chunk := packed.read(_CHUNK):
                left -= len(chunk)
                if left < 0:  # the directory of the archive has not told the truth
                    raise InvalidArgument(f"source: it is larger than {MAX_BYTES} bytes")
                file.write(chunk)
        path.chmod(0o700 if entry.external_attr >> 16 & stat.S_IXUSR else 0o600)


def _limit(entries: Collection[object], size: int) -> None:
    if len(entries) > MAX_FILES:
        raise InvalidArgument(f"source: it has {len(entries)} files, and the limit is {MAX_FILES}")
    if size > MAX_BYTES:
        raise InvalidArgument(f"source: it has {size} bytes, and the limit is {MAX_BYTES}")


@contextmanager
def _writing(folder: Path, name: PurePosixPath) -> Iterator[Path]:
    """Where a file goes, in folders that are there."""
    try:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        yield folder / name
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        raise InvalidArgument(f"source: it has {str(name)!r} more than once") from None


@contextmanager
def _made(root: Path, digest: str) -> Iterator[tuple[Path, bool]]:
    """A folder to fill, and whether it has to be: it gets its name when it is whole."""
    final = root / digest
    try:
        os.utime(final)
    except FileNotFoundError:
        pass
    else:
        yield final, False
        return
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".", dir=root) as scratch:
        folder = Path(scratch) / "source"
        folder.mkdir()
        yield folder, True
        try:
            folder.rename(final)
        except OSError:
            if not final.is_dir():  # else somebody else has made it meanwhile
                raise
