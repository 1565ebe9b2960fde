"""What Docker Engines of several versions answer to the same questions, as far as the testbed reads it.

The first three are recorded from engines of Debian's (20.10.24, 26.1.5, 28.5.2), the last one is what the engine's own
history of its API says of 1.52 (Docker Engine 29): fields of an image's configuration that are not set are left out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

ID = "sha256:27a2693f5d5fbf50b831653e039fffed576ce0d4847de261decf19142763342a"
PARENT = "sha256:fcf76b434e1317e774bcfba98d3f14736cd1368d48f5f9b0eebd271bf57dd74e"
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Engine:
    """One version's answers."""

    version: str
    api: str
    images: list[dict[str, Any]]
    """GET /images/json: one without a name and one with."""
    configuration: dict[str, Any]
    """`Config` of GET /images/NAME/json, of an image without entry point and command."""


_NAMELESS = {
    "Containers": -1,
    "Created": 1796080883,
    "Id": ID,
    "Labels": {"a": "1"},
    "ParentId": PARENT,
    "SharedSize": -1,
    "Size": 122614338,
}
_NAMED = {
    "Containers": -1,
    "Created": 1796077401,
    "Id": PARENT,
    "Labels": None,
    "ParentId": "",
    "RepoTags": ["testbed/debian:bookworm"],
    "SharedSize": -1,
    "Size": 122614338,
}
_CONFIGURATION = {
    "Hostname": "", "Domainname": "", "User": "", "AttachStdin": False, "AttachStdout": False, "AttachStderr": False,
    "Tty": False, "OpenStdin": False, "StdinOnce": False, "Env": [_PATH], "Cmd": None, "Image": PARENT,
    "Volumes": None, "WorkingDir": "", "Entrypoint": None, "OnBuild": None, "Labels": {"a": "1"},
}  # fmt: skip

_BOOKWORM = Engine(
    "20.10.24+dfsg1",
    "1.41",
    [
        _NAMELESS | {"RepoDigests": ["<none>@<none>"], "RepoTags": ["<none>:<none>"], "VirtualSize": 122614338},
        _NAMED | {"RepoDigests": None, "VirtualSize": 122614338},
    ],
    _CONFIGURATION,
)
_TRIXIE = Engine(
    "26.1.5+dfsg1",
    "1.45",
    [_NAMELESS | {"RepoDigests": [], "RepoTags": []}, _NAMED | {"RepoDigests": []}],
    _CONFIGURATION,
)
_SID = Engine(
    "28.5.2+dfsg4",
    "1.51",
    [{**image, "Containers": 0} for image in _TRIXIE.images],
    {
        "Cmd": None,
        "Entrypoint": None,
        "Env": [_PATH],
        "Labels": {"a": "1"},
        "OnBuild": None,
        "User": "",
        "Volumes": None,
        "WorkingDir": "",
    },
)
_DOCUMENTED = replace(_SID, version="29.0.0", api="1.52", configuration={"Env": [_PATH], "Labels": {"a": "1"}})

ENGINES = [_BOOKWORM, _TRIXIE, _SID, _DOCUMENTED]
