"""What is put into a container before it starts, as one archive: Docker starts a process of its own for each."""

from __future__ import annotations

import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path, PurePath
from types import TracebackType
from typing import IO, Self

from testbed.nodes import tree


class Content:
    """An archive for a container's root folder, which is collected as long as the context lasts."""

    def __enter__(self) -> Self:
        self._stream = tempfile.TemporaryFile()
        self._tar = tarfile.open(fileobj=self._stream, mode="w")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()

    def add_folder(self, folder: Path, prefix: PurePath, owner: int) -> None:
        """Add a folder as `tree.add` does."""
        tree.add(self._tar, folder, prefix, owner)

    def add_files(self, files: Mapping[str, str | bytes], owner: int) -> None:
        """Add files, path to content, of user and group `owner`."""
        tree.add_files(self._tar, files, owner)

    def stream(self) -> IO[bytes] | None:
        """The archive; None if nothing is in it.  Nothing can be added any more."""
        empty = not self._tar.getmembers()
        self._tar.close()
        self._stream.seek(0)
        return None if empty else self._stream
