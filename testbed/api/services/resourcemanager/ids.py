"""Projects by their ids and numbers."""

from __future__ import annotations

from testbed.control.accept.plane import ControlPlane
from testbed.model.core.projects import ABOVE, project_number

KIND = "cloudresourcemanager.projects"


def known(plane: ControlPlane) -> list[str]:
    """The projects that there is something to say of: the testbed's own, those made, and those that have resources."""
    with plane.reading() as store:
        names = [record.name.split("/") for record in store.resources.all()]
    found = {parts[1] for parts in names if len(parts) > 1 and parts[0] in ABOVE and parts[1] != "-"}
    return sorted({str(plane.general["project"]), *found})


def id_of(plane: ControlPlane, given: str) -> str:
    """A project's id: what is given, unless it is the number of a project that is known."""
    name = given.removeprefix("projects/")
    if not name.isdigit():
        return name
    return next((project for project in known(plane) if str(project_number(project)) == name), name)
