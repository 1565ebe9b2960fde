"""URLs by which the sources of functions are uploaded and downloaded."""

from __future__ import annotations

from uuid import uuid4

from testbed.api.calls.call import Call, serves
from testbed.api.services import located
from testbed.api.services.functions.records import KIND, origin_of
from testbed.api.services.storage import blobs, transfers
from testbed.errors import FailedPrecondition
from testbed.json_object import Json
from testbed.model.core.resource import segment


@serves("cloudfunctions.v1 cloudfunctions.v2", "projects.locations.functions.generateUploadUrl")
def upload_url(call: Call) -> Json:
    """A URL that takes one zip archive."""
    project, region = segment(call.text("parent"), "projects"), located.region_of(call.text("parent"))
    first = call.method.api.endswith("v1") or call.body.get("environment") == "GEN_1"
    bucket = transfers.upload_bucket(project, region, generation=1 if first else 2)
    blobs.ensure_bucket(call.plane, bucket, project, region)
    name = f"{uuid4()}.zip"
    answer: Json = {"uploadUrl": transfers.upload_url(call.plane, call.endpoint, bucket, name)}
    return answer if call.method.api.endswith("v1") else {**answer, "storageSource": {"bucket": bucket, "object": name}}


@serves("cloudfunctions.v1 cloudfunctions.v2", "projects.locations.functions.generateDownloadUrl")
def download_url(call: Call) -> Json:
    """A URL of the zip archive that a function was deployed from."""
    storage = origin_of(located.found(call, KIND).body["buildConfig"]).get("storageSource", {})
    place = transfers.place_of(storage.get("sourceUploadUrl", "")) or (storage.get("bucket"), storage.get("object"))
    if not all(place):
        raise FailedPrecondition("function: its source is a local folder, and cannot be downloaded")
    record = blobs.find(call.plane, *place)
    return {"downloadUrl": transfers.download_url(call.plane, call.endpoint, *record.name.split("/", 1))}
