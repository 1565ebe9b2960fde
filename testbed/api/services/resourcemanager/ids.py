"""Projects by their ids and numbers."""

from __future__ import annotations

from testbed.control.accept.plane import ControlPlane

KIND = "cloudresourcemanager.projects"


def id_of(plane: ControlPlane, given: str) -> str:
    """A project's id: what is given, unless it is the number of a project that is known."""
    return plane.with_id(f"projects/{given.removeprefix('projects/')}").removeprefix("projects/")
