"""How long all images take, built from nothing."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator

from testbed.nodes.engine import connect
from testbed.nodes.images import Images
from testbed.paths import IMAGES
from tests.bench.figures import Figure, taken
from tests.bench.setting import Setting

_LABEL = "dev.testbed.bench"


def measure(setting: Setting) -> Iterator[Figure]:
    """Build all images with nothing that could be used again but the base image.

    The builds are those of a copy with one more label, which every image inherits: so no layer is known, and what was
    built can be found and removed.
    """
    value = secrets.token_hex(4)
    copy = shutil.copytree(IMAGES, setting.folder / "images")
    dockerfile = copy / "base" / "Dockerfile"
    dockerfile.write_text(dockerfile.read_text().replace("FROM ${BASE}\n", f"FROM ${{BASE}}\nLABEL {_LABEL}={value}\n"))
    client = connect()
    names = [f"testbed/{path.parent.name}" for path in copy.glob("*/Dockerfile")]
    try:
        yield Figure(
            f"{len(names)} images", taken(lambda: Images(client, lambda *_: None, folder=copy).ensure(names)), "s"
        )
    finally:
        while found := client.images.list(filters={"label": f"{_LABEL}={value}"}):
            for image in found:
                client.images.remove(str(image.id), force=True)
        client.close()
