"""The scripts that Google's guest agent runs: which keys of metadata name them, and where a script's URL leads.

Source: google_metadata_script_runner of https://github.com/GoogleCloudPlatform/guest-agent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote

Phase = Literal["startup", "shutdown"]
_BUCKET, _OBJECT = r"([a-z0-9][-_.a-z0-9]*)", r"(.+)"
_IN_STORAGE = tuple(
    re.compile(form)
    for form in (
        rf"gs://{_BUCKET}/{_OBJECT}",
        rf"https?://{_BUCKET}\.storage\.googleapis\.com/{_OBJECT}",
        rf"https?://storage\.cloud\.google\.com/{_BUCKET}/{_OBJECT}",
        rf"https?://(?:commondata)?storage\.googleapis\.com/{_BUCKET}/{_OBJECT}",
    )
)
_KEPT = ":/?#[]@!$&'()*+,;=%~"


@dataclass(frozen=True, slots=True)
class Script:
    """A script, or (by a key that ends in `-url`) where it is."""

    key: str
    value: str

    @property
    def is_url(self) -> bool:
        """Whether the value is a URL."""
        return self.key.endswith("-url")

    @property
    def text(self) -> str:
        """The script as it is written to a file."""
        return self.value.lstrip(" \n\v\f\t\r")

    @property
    def places(self) -> tuple[str, str]:
        """Where it is got with the instance's own token (empty if it is not in Cloud Storage), and where without."""
        address = self.value.strip()
        for form in _IN_STORAGE:
            if found := form.fullmatch(address):
                bucket, name = found.groups()
                name = quote(name, safe="")
                place = f"https://storage.googleapis.com/download/storage/v1/b/{bucket}/o/{name}?alt=media"
                return place, place
        return "", quote(address, safe=_KEPT)


def scripts(phase: Phase, instance: Mapping[str, str], project: Mapping[str, str]) -> tuple[Script, ...]:
    """The scripts of a phase, in their order: those of the instance's metadata, else those of its project's."""
    wanted = (f"{phase}-script", f"{phase}-script-url")
    for attributes in (instance, project):
        if found := tuple(Script(key, attributes[key]) for key in wanted if attributes.get(key)):
            return found
    return ()
