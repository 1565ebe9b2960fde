"""Images: Google's public ones, all of which stand for one here, and the Docker images of this machine (our choice)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from testbed.api.calls.call import Call, ImageCatalog, serves
from testbed.api.services.compute.collection import API, Collection
from testbed.control.accept.plane import ControlPlane, InvalidResource
from testbed.control.state.resources import Record
from testbed.errors import GoogleText, NotFound
from testbed.json_object import Json
from testbed.model.compute.images import PUBLIC, docker_image
from testbed.model.core.annotations import Path

SMALLEST_DISK = 10
"""Gigabytes: what Google's images of this kind need."""
_REFERENCE = re.compile(r"[a-z0-9]+(?:(?:[./:@]|_{1,2}|-+)[A-Za-z0-9]+)*")
"""Names that Docker can be asked for."""


def check(images: ImageCatalog, source: str, path: Path) -> None:
    """Refuse a source image that there is nothing for.

    Raises:
        InvalidResource: as Google says it.
    """
    name = docker_image(source)
    if name is None or not _REFERENCE.fullmatch(name) or not images.knows(name):
        raise InvalidResource(path, source, GoogleText("The referenced image resource cannot be found."))


def _public(_: ControlPlane, project: str) -> Iterator[Record]:
    """The newest image of each family."""
    for family, name in PUBLIC.get(project, {}).items():
        yield Record("compute.images", f"projects/{project}/global/images/{name}", {"family": family})


def _view(_: ControlPlane, record: Record) -> Json:
    project = record.name.split("/")[1]
    stands_for = docker_image(record.name)
    return {
        "description": f"The Docker image {stands_for} of the testbed",
        "status": "READY",
        "architecture": "X86_64",
        "sourceType": "RAW",
        "diskSizeGb": str(SMALLEST_DISK),
        "licenses": [f"https://www.googleapis.com/compute/v1/projects/{project}/global/licenses/{record.id}"]
        if project in PUBLIC
        else [],
    }


IMAGES = Collection(name="images", singular="image", scope="global", given=_public, view=_view).register("list")


@serves(API, "images.get")
def get(call: Call) -> Json:
    """An image by name: whatever can be run is one."""
    return IMAGES.printed(call.plane, _found(call, call.text("image")))


@serves(API, "images.getFromFamily")
def get_from_family(call: Call) -> Json:
    """The newest image of a family."""
    return IMAGES.printed(call.plane, _found(call, call.text("family"), family=True))


@serves(API, "imageFamilyViews.get")
def get_family_view(call: Call) -> Json:
    """The image of a family that a zone has: every zone has the same."""
    return {"image": get_from_family(call)}


def _found(call: Call, name: str, *, family: bool = False) -> Record:
    """An image by its name, or by that of its family; a Docker image is its own family."""
    parent = IMAGES.parent(call)
    asked = f"{parent}/family/{name}" if family else f"{parent}/{name}"
    try:
        check(call.images, asked, ())
    except InvalidResource:
        raise NotFound(GoogleText(f"The resource '{asked}' was not found"), reason="notFound") from None
    newest = PUBLIC.get(parent.split("/")[1], {})
    if family:
        return Record("compute.images", f"{parent}/{newest.get(name, name)}", {"family": name})
    families = {image: known for known, image in newest.items()}
    return Record("compute.images", asked, {"family": families.get(name, name)})
