"""The source code of what is deployed: from Cloud Storage to a folder that a runtime is given."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from testbed.api.services.storage import blobs, transfers
from testbed.api.source import folders
from testbed.control.accept.plane import ControlPlane
from testbed.control.state.resources import Record
from testbed.errors import InvalidArgument, NotFound
from testbed.json_object import Json

_KINDS = ("cloudfunctions.functions", "appengine.versions")
"""What has such folders."""


def from_zip(plane: ControlPlane, bucket: str, name: str) -> Path:
    """The folder with what a zip in Cloud Storage has in it.

    Raises:
        InvalidArgument: it is not there, or cannot be unpacked.
    """
    record = _object(plane, bucket, name)
    with _there():
        return folders.unpack(blobs.content(plane, record), record.facts["sha256"], _root(plane))


def from_files(plane: ControlPlane, files: Mapping[str, Json]) -> Path:
    """The folder with the files of App Engine's manifest.

    Raises:
        InvalidArgument: one is not there, or is another one than the manifest says.
    """
    found: dict[str, Path] = {}
    for path, info in files.items():
        place = transfers.place_of(info.get("sourceUrl", ""))
        if place is None:
            raise InvalidArgument(f"file {path}: its sourceUrl is not of Cloud Storage")
        record = _object(plane, *place)
        if str(info.get("sha1Sum", record.facts["sha1"])).replace("_", "") != record.facts["sha1"]:
            raise InvalidArgument(f"file {path}: its SHA-1 sum is not {info['sha1Sum']}")
        found[path] = blobs.content(plane, record)
    with _there():
        return folders.collect(found, _root(plane))


def prepared(plane: ControlPlane, make: Callable[[], object]) -> None:
    """Make the folder of a source before its deployment does, for that takes time.

    What is wrong with the source is the deployment's to say.
    """
    sweep(plane)
    with suppress(InvalidArgument):
        make()


def fault(folder: Path, needed: Iterable[str] = ()) -> str | None:
    """Why a source cannot be run: the first file that it lacks.  The text is ours."""
    return next((f"missing {name}" for name in needed if not (folder / name).is_file()), None)


def _object(plane: ControlPlane, bucket: str, name: str) -> Record:
    try:
        return blobs.find(plane, bucket, name)
    except NotFound:
        raise InvalidArgument(f"source gs://{bucket}/{name}: it is not in the testbed's Cloud Storage") from None


@contextmanager
def _there() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise InvalidArgument("source: it was removed from the testbed's Cloud Storage meanwhile") from None


def _root(plane: ControlPlane) -> Path:
    """The folder of all sources."""
    return blobs.uploads(plane) / "sources"


def sweep(plane: ControlPlane) -> None:
    """Remove the sources that nothing uses any more, or would go back to."""
    root = _root(plane)
    with plane.transaction():
        records = [record for kind in _KINDS for record in plane.list(kind)]
        bodies = [body for record in records for body in (record.body, record.effective)]
        bodies += [change.previous for operation in plane.store.operations.open() for change in operation.changes]
    text = json.dumps(bodies)
    folders.sweep(root, [str(path) for path in (root.iterdir() if root.is_dir() else ()) if path.name in text])
