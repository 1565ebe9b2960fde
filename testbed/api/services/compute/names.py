"""Links, numbers and scopes of Compute Engine's resources."""

from __future__ import annotations

import base64
import hashlib

ROOT = "https://www.googleapis.com/compute/v1/"
"""What links begin with, whichever way the caller came: clients compare and follow them."""


def url(name: str) -> str:
    """The link of a resource by its relative name."""
    return name if name.startswith("https://") else ROOT + name


def numeric_id(name: str) -> str:
    """A number for a resource, as text; the same as long as the name is (Google's are random)."""
    return str(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) >> 1)


def fingerprint(*values: object) -> str:
    """A fingerprint of what a resource says, in base64, but without the two characters that its alphabets differ in.

    Whichever alphabet a client decodes and encodes it by (gcloud takes the one for URLs), it sends the same text back.
    """
    return base64.b64encode(hashlib.sha256(repr(values).encode()).digest()[:9], altchars=b"09").decode()
