"""The contents of objects: one file for each different content, named by its SHA-256, in the testbed's folder."""

from __future__ import annotations

import base64
import hashlib
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from testbed.api.calls.raw import FOLDER
from testbed.control.accept.plane import ControlPlane
from testbed.control.state.resources import Record
from testbed.errors import GoogleText, InvalidArgument, NotFound

BUCKETS = "storage.buckets"
"""The kind; a bucket's name is its whole name."""
LONGEST_NAME = 1024
"""Bytes of an object's name."""
OBJECTS = "storage.objects"
"""The kind; the name of an object is `BUCKET/OBJECT`."""


def uploads(plane: ControlPlane) -> Path:
    """The folder of everything that was uploaded; `down` removes it with all the rest."""
    return plane.store.folder / FOLDER


def content(plane: ControlPlane, record: Record) -> Path:
    """The file with an object's content."""
    return _blob(plane, record.facts["sha256"])


def ensure_bucket(plane: ControlPlane, name: str, project: str, location: str = "US") -> Record:
    """A bucket, made if it is not there."""
    known = plane.find(BUCKETS, name)
    return known or plane.keep(Record(BUCKETS, name, {"location": location}, facts={"project": project}))


def bucket(plane: ControlPlane, name: str) -> Record:
    """A bucket.

    Raises:
        NotFound: there is none.
    """
    if record := plane.find(BUCKETS, name):
        return record
    raise NotFound(GoogleText("The specified bucket does not exist."), reason="notFound")


def find(plane: ControlPlane, bucket_name: str, name: str) -> Record:
    """An object.

    Raises:
        NotFound: there is none.
    """
    if record := plane.find(OBJECTS, f"{bucket_name}/{name}"):
        return record
    raise NotFound(GoogleText(f"No such object: {bucket_name}/{name}"), reason="notFound")


def check_name(name: str) -> None:
    """See that an object can have a name (cloud.google.com/storage/docs/objects, "Object names").

    Raises:
        InvalidArgument: it cannot.
    """
    if not 1 <= len(name.encode("utf-8", "surrogatepass")) <= LONGEST_NAME:
        rule = f"its name must have 1 to {LONGEST_NAME} bytes"
    elif set(name) & {"\r", "\n"} or name in {".", ".."} or name.startswith(".well-known/acme-challenge/"):
        rule = "its name must have no line breaks, not be . or .., and not begin with .well-known/acme-challenge/"
    else:
        return
    raise InvalidArgument(f"object {name[:40]!r}: {rule}", reason="invalid")


def put(plane: ControlPlane, bucket_name: str, name: str, data: bytes, described: Mapping[str, Any]) -> Record:
    """Make an object, or replace one; `described` is what its caller says of it.

    Raises:
        NotFound: there is no such bucket.
        InvalidArgument: no object can have this name.
    """
    check_name(name)
    digest = hashlib.sha256(data).hexdigest()
    path = _blob(plane, digest)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    md5 = base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
    facts = {
        "sha256": digest,
        "size": len(data),
        "md5": md5,
        "sha1": hashlib.sha1(data, usedforsecurity=False).hexdigest(),
        "generation": str(time.time_ns() // 1000),
    }
    body = {key: value for key, value in described.items() if key in _KEPT}
    with _written(path.parent, data) as written, plane.transaction():
        bucket(plane, bucket_name)
        before = plane.find(OBJECTS, f"{bucket_name}/{name}")
        record = plane.keep(Record(OBJECTS, f"{bucket_name}/{name}", body, facts=facts))
        written.rename(path)  # here, lest somebody removes an object with this content just now
        if before is not None:
            _release(plane, before.facts["sha256"])
        return record


@contextmanager
def _written(folder: Path, data: bytes) -> Iterator[Path]:
    """A file with this content, which is gone in the end if it was not moved."""
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        file = Path(scratch) / "content"
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as output:
            output.write(data)
        yield file


def remove(plane: ControlPlane, record: Record) -> None:
    """Remove an object, and its content if no other has the same."""
    plane.drop(OBJECTS, record.name)
    _release(plane, record.facts["sha256"])


def _release(plane: ControlPlane, digest: str) -> None:
    if not any(record.facts["sha256"] == digest for record in plane.list(OBJECTS)):
        with suppress(FileNotFoundError):
            _blob(plane, digest).unlink()


def _blob(plane: ControlPlane, digest: str) -> Path:
    return uploads(plane) / "blobs" / digest


_KEPT = frozenset(
    {
        "contentType",
        "contentEncoding",
        "contentDisposition",
        "contentLanguage",
        "cacheControl",
        "metadata",
        "storageClass",
    }
)
"""What is kept of a caller's description of an object."""
