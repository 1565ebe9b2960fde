"""Which Docker image a VM's source image stands for."""

from __future__ import annotations

import pytest

from testbed.model.compute.images import docker_image

_PUBLIC = "projects/debian-cloud/global/images"


@pytest.mark.parametrize(
    ("source", "image"),
    [
        (f"{_PUBLIC}/family/debian-12", "testbed/vm"),
        (f"https://www.googleapis.com/compute/v1/{_PUBLIC}/debian-12-bookworm-v20260101", "testbed/vm"),
        ("http://127.0.0.1:7667/compute/v1/projects/debian-cloud/zones/-/imageFamilyViews/debian-12", "testbed/vm"),
        ("projects/ubuntu-os-cloud/global/images/family/ubuntu-2404-lts-amd64", "testbed/vm"),
        (f"{_PUBLIC}/family/ubuntu-2404-lts-amd64", None),
        ("projects/windows-cloud/global/images/family/windows-2022", None),
        ("projects/demo/global/images/mine", "mine"),
        ("global/images/mine", "mine"),
        ("testbed/vm", "testbed/vm"),
        ("registry:5000/a/b:1.0", "registry:5000/a/b:1.0"),
    ],
)
def test_source_images(source: str, image: str | None) -> None:
    assert docker_image(source) == image
