"""Cloud Storage: buckets and the descriptions of objects.  Contents come and go in `transfers`."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

from testbed.api.calls.call import Call, serves
from testbed.api.calls.clock import timestamp
from testbed.api.contract import listing
from testbed.api.services.storage import blobs
from testbed.control.state.resources import Record
from testbed.errors import AlreadyExists, FailedPrecondition, GoogleText, InvalidArgument
from testbed.json_object import Json
from testbed.model.core.projects import project_number

API = "storage.v1"
_LINK = "https://www.googleapis.com/storage/v1/b"
_BUCKET = re.compile(r"[a-z0-9][-._a-z0-9]{1,220}[a-z0-9]")


@serves(API, "buckets.insert")
def insert_bucket(call: Call) -> Json:
    """Make a bucket."""
    name = call.body.get("name", "")
    if not _BUCKET.fullmatch(name):
        raise InvalidArgument(GoogleText(f"Invalid bucket name: '{name}'"), reason="invalid")
    if call.plane.find(blobs.BUCKETS, name):
        raise AlreadyExists(
            GoogleText("Your previous request to create the named bucket succeeded and you already own it."),
            reason="conflict",
        )
    body = {"location": "US", **{key: value for key, value in call.body.items() if key != "name"}}
    record = Record(blobs.BUCKETS, name, body, facts={"project": call.text("project")})
    return bucket_view(call.plane.keep(record))


@serves(API, "buckets.get")
def get_bucket(call: Call) -> Json:
    """One bucket."""
    return bucket_view(blobs.bucket(call.plane, call.text("bucket")))


@serves(API, "buckets.list")
def list_buckets(call: Call) -> Json:
    """The buckets of a project."""
    project = call.text("project")
    found = [bucket_view(r) for r in call.plane.list(blobs.BUCKETS, call.text("prefix")) if _is_of(r, project)]
    return _page(call, "storage#buckets", found, project)


@serves(API, "buckets.delete")
def delete_bucket(call: Call) -> Json:
    """Delete an empty bucket."""
    record = blobs.bucket(call.plane, call.text("bucket"))
    if call.plane.list(blobs.OBJECTS, f"{record.name}/"):
        raise FailedPrecondition(GoogleText("The bucket you tried to delete is not empty."), reason="conflict")
    call.plane.drop(blobs.BUCKETS, record.name)
    return {}


@serves(API, "objects.get")
def get_object(call: Call) -> Json:
    """The description of one object."""
    return object_view(blobs.find(call.plane, call.text("bucket"), call.text("object")))


@serves(API, "objects.list")
def list_objects(call: Call) -> Json:
    """The objects of a bucket; `prefix` and `delimiter` make folders of them."""
    bucket = blobs.bucket(call.plane, call.text("bucket")).name
    prefix, delimiter = call.text("prefix"), call.text("delimiter")
    found, folders = [], set()
    for record in call.plane.list(blobs.OBJECTS, f"{bucket}/{prefix}"):
        rest = record.name.removeprefix(f"{bucket}/{prefix}")
        if delimiter and delimiter in rest:
            folders.add(f"{prefix}{rest.partition(delimiter)[0]}{delimiter}")
        else:
            found.append(object_view(record))
    answer = _page(call, "storage#objects", found, bucket)
    return {**answer, "prefixes": sorted(folders)} if folders else answer


@serves(API, "objects.delete")
def delete_object(call: Call) -> Json:
    """Delete an object."""
    blobs.remove(call.plane, blobs.find(call.plane, call.text("bucket"), call.text("object")))
    return {}


def bucket_view(record: Record) -> Json:
    """A bucket as the API prints it."""
    location = str(record.body["location"]).upper()
    return {
        "storageClass": "STANDARD",
        **record.body,
        "kind": "storage#bucket",
        "id": record.name,
        "name": record.name,
        "selfLink": f"{_LINK}/{record.name}",
        "location": location,
        "metageneration": "1",
        "locationType": "multi-region" if len(location) == 2 else "region",
        "projectNumber": str(project_number(record.facts["project"])),
        "etag": "CAE=",
        "timeCreated": timestamp(record.created),
        "updated": timestamp(record.updated),
    }


def object_view(record: Record) -> Json:
    """An object as the API prints it."""
    bucket, _, name = record.name.partition("/")
    facts, link = record.facts, f"/b/{bucket}/o/{quote(name, safe='')}"
    return {
        "contentType": "application/octet-stream",
        "storageClass": "STANDARD",
        **record.body,
        "kind": "storage#object",
        "id": f"{bucket}/{name}/{facts['generation']}",
        "name": name,
        "bucket": bucket,
        "selfLink": f"https://www.googleapis.com/storage/v1{link}",
        "mediaLink": f"https://storage.googleapis.com/download/storage/v1{link}?generation={facts['generation']}"
        "&alt=media",
        "generation": facts["generation"],
        "metageneration": "1",
        "size": str(facts["size"]),
        "md5Hash": facts["md5"],
        "etag": facts["md5"],
        "timeCreated": timestamp(record.created),
        "updated": timestamp(record.updated),
    }


def _is_of(record: Record, project: str) -> bool:
    return project in {record.facts["project"], str(project_number(record.facts["project"]))}


def _page(call: Call, kind: str, found: list[Any], collection: str) -> Json:
    page = listing.page(
        found,
        size=call.number("maxResults"),
        token=call.text("pageToken"),
        maximum=1000,
        collection=f"{kind}/{collection}/{call.text('prefix')}",
    )
    return {"kind": kind, **page.answer("items")}
