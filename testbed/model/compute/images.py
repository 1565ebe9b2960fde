"""Images of VMs: Google's names, and the local Docker images that they stand for (our choice)."""

from __future__ import annotations

import re

from testbed.model.core.resource import relative

BUILT_IN = "testbed/vm"
"""Debian 12 with a web server: what a public image of Google's stands for."""
PUBLIC: dict[str, dict[str, str]] = {
    "debian-cloud": {
        "debian-11": "debian-11-bullseye-v20261110",
        "debian-12": "debian-12-bookworm-v20261110",
        "debian-13": "debian-13-trixie-v20261110",
    },
    "ubuntu-os-cloud": {
        "ubuntu-2204-lts": "ubuntu-2204-jammy-v20261112",
        "ubuntu-2404-lts-amd64": "ubuntu-2404-noble-amd64-v20261112",
        "ubuntu-minimal-2404-lts-amd64": "ubuntu-minimal-2404-noble-amd64-v20261112",
    },
    "cos-cloud": {
        "cos-stable": "cos-stable-125-19216-104-10",
        "cos-beta": "cos-beta-129-19600-20-7",
        "cos-dev": "cos-dev-133-19805-0-0",
    },
    "centos-cloud": {
        "centos-stream-9": "centos-stream-9-v20261110",
        "centos-stream-10": "centos-stream-10-v20261110",
    },
    "rocky-linux-cloud": {
        "rocky-linux-8": "rocky-linux-8-v20261110",
        "rocky-linux-9": "rocky-linux-9-v20261110",
        "rocky-linux-10": "rocky-linux-10-v20261110",
    },
}
"""Google's projects with public Linux images: the families in each, and the newest image of each family.

The form of the names is Google's, with a date; the dates and the list are recalled.  Every image and family of such a
project is the built-in one here, but the name of a family is not that of an image.  There is no `windows-cloud`:
nothing could stand for its images.
"""
_NAME = re.compile(
    r"(?:projects/(?P<project>[^/]+)/)?(?:global/images/(?P<family>family/)?|zones/[^/]+/(?P<view>imageFamilyViews/))(?P<name>[^/]+)"
)


def docker_image(source: str) -> str | None:
    """The Docker image that a VM's source image stands for; None if it is one of Google's that nothing stands for.

    `projects/P/global/images/NAME` is the Docker image NAME, unless P is a project of Google's; whatever is not in
    Google's form is the name of a Docker image.
    """
    named = _NAME.fullmatch(relative(source))
    if named is None:
        return source
    project, name = named["project"] or "", named["name"]
    if not project.endswith("-cloud"):
        return str(name)
    if name in PUBLIC.get(project, ()) and not (named["family"] or named["view"]):
        return None
    return BUILT_IN if project in PUBLIC and name.startswith(f"{distribution(source)}-") else None


def distribution(source: str) -> str | None:
    """The Linux distribution of a source image of Google's: `debian`, `ubuntu`, `cos`; None if it is not Google's."""
    named = _NAME.fullmatch(relative(source))
    project = named["project"] or "" if named else ""
    return project.removesuffix("-cloud").removesuffix("-os") if project.endswith("-cloud") else None


def newest(source: str) -> str:
    """The newest image of a family, if a source image names one of Google's families; else the source itself."""
    project, _, family = relative(source).removeprefix("projects/").partition("/global/images/family/")
    image = PUBLIC.get(project, {}).get(family)
    return f"projects/{project}/global/images/{image}" if image else source
