"""Images of VMs: Google's names, and the local Docker images that they stand for (our choice)."""

from __future__ import annotations

import re

from testbed.model.core.resource import relative

BUILT_IN = "testbed/vm"
"""Debian 12 with a web server: what a public image of Google's stands for."""
PUBLIC: dict[str, tuple[str, ...]] = {
    "debian-cloud": ("debian-11", "debian-12", "debian-13"),
    "ubuntu-os-cloud": ("ubuntu-2204-lts", "ubuntu-2404-lts-amd64", "ubuntu-minimal-2404-lts-amd64"),
    "cos-cloud": ("cos-stable", "cos-beta", "cos-dev"),
    "centos-cloud": ("centos-stream-9", "centos-stream-10"),
    "rocky-linux-cloud": ("rocky-linux-8", "rocky-linux-9", "rocky-linux-10"),
}
"""Google's projects with public Linux images, and families in them (recalled).

Every image and family of such a project is the built-in one here.  There is no `windows-cloud`: nothing could stand for
its images.
"""
_NAME = re.compile(
    r"(?:projects/(?P<project>[^/]+)/)?(?:global/images/(?:family/)?|zones/[^/]+/imageFamilyViews/)(?P<name>[^/]+)"
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
    distribution = project.removesuffix("-cloud").removesuffix("-os")
    return BUILT_IN if project in PUBLIC and name.startswith(f"{distribution}-") else None
