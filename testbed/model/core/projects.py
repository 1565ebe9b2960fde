"""Numbers and default service accounts of projects.

Google assigns numbers; the testbed's are derived from the project's id, so they never change.
"""

from __future__ import annotations

import hashlib

ABOVE = frozenset({"projects", "namespaces", "apps"})
"""What the names of resources begin with, before their project."""


def project_number(project: str) -> int:
    """The number of a project: twelve digits, as most of Google's have."""
    return 100_000_000_000 + int.from_bytes(hashlib.sha256(project.encode()).digest()[:5]) % 900_000_000_000


def compute_account(project: str) -> str:
    """Compute Engine's default service account, as which services and functions of the second generation run, too."""
    return f"{project_number(project)}-compute@developer.gserviceaccount.com"


def app_engine_account(project: str) -> str:
    """App Engine's default service account, as which functions of the first generation run, too."""
    return f"{project}@appspot.gserviceaccount.com"
