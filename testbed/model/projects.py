"""Project numbers.  Google assigns them; the testbed's are derived from the project's id, so they never change."""

from __future__ import annotations

import hashlib


def project_number(project: str) -> int:
    """The number of a project: twelve digits, as most of Google's have."""
    return 100_000_000_000 + int.from_bytes(hashlib.sha256(project.encode()).digest()[:5]) % 900_000_000_000
