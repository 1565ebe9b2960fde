"""Temporary files of a long piece of work, in a place where the next piece finds what one that was killed has left."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def temporary_files_in(folder: Path) -> Iterator[None]:
    """Let this process and those it starts make temporary files there; the folder is empty before and gone after.

    The caller sees to it that nobody else works in the folder.
    """
    before = os.environ.get("TMPDIR"), tempfile.tempdir
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
    try:
        yield
    finally:
        variable, tempfile.tempdir = before
        if variable is None:
            del os.environ["TMPDIR"]
        else:
            os.environ["TMPDIR"] = variable
        shutil.rmtree(folder)
