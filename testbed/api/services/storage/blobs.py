"""The contents of objects: one file for each different content, named by its SHA-256, in the testbed's folder."""

from __future__ import annotations

import base64
import hashlib
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from testbed.api.raw import FOLDER
from testbed.control.plane import ControlPlane
from testbed.control.resources import Record
from testbed.errors import NotFound

Json = dict[str, Any]
BUCKETS = "storage.buckets"
"""The kind; a bucket's name is its whole name."""
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
    raise NotFound("The specified bucket does not exist.", reason="notFound")


def find(plane: ControlPlane, bucket_name: str, name: str) -> Record:
    """An object.

    Raises:
        NotFound: there is none.
    """
    if record := plane.find(OBJECTS, f"{bucket_name}/{name}"):
        return record
    raise NotFound(f"No such object: {bucket_name}/{name}", reason="notFound")


def put(plane: ControlPlane, bucket_name: str, name: str, data: bytes, described: Mapping[str, Any]) -> Record:
    """Make an object, or replace one; `described` is what its caller says of it.

    Raises:
        NotFound: there is no such bucket.
    """
    digest = hashlib.sha256(data).hexdigest()
    path = _blob(plane, digest)
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            file.write(data)
        Path(file.name).rename(path)
    md5 = base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
    facts = {
        "sha256": digest, "size": len(data), "md5": md5, "sha1": hashlib.sha1(data, usedforsecurity=False).hexdigest(),
        "generation": str(time.time_ns() // 1000),
    }  # fmt: skip
    body = {key: value for key, value in described.items() if key in _KEPT}
    with plane.transaction():
        bucket(plane, bucket_name)
        before = plane.find(OBJECTS, f"{bucket_name}/{name}")
        record = plane.keep(Record(OBJECTS, f"{bucket_name}/{name}", body, facts=facts))
        if before is not None:
            _release(plane, before.facts["sha256"])
        return record


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


_KEPT = frozenset({
    "contentType", "contentEncoding", "contentDisposition", "contentLanguage", "cacheControl", "metadata",
    "storageClass",
})  # fmt: skip
"""What is kept of a caller's description of an object."""
