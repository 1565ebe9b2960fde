"""Names of Cloud Run's resources: `projects/P/locations/R/services/S` in v2, `namespaces/P/services/S` in v1.

A namespace is a project; the region is in the host name then: `us-central1-run.googleapis.com`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from testbed.api.calls.call import Call
from testbed.api.services import located
from testbed.control.state.resources import Record
from testbed.errors import GoogleText, InvalidArgument, NotFound
from testbed.model.core.projects import project_number

SERVICES, REVISIONS, JOBS, EXECUTIONS = "run.services", "run.revisions", "run.jobs", "run.executions"
_REGIONAL = re.compile(r"//([a-z0-9-]+)-run\.googleapis\.com")
_ID = re.compile(r"[a-z]([-a-z0-9]{0,47}[a-z0-9])?")


def full(call: Call, name: str) -> str:
    """A name of either version as v2 has it; a project's number becomes its id."""
    parts = name.split("/")
    parts[1] = project(call, parts[1])
    if parts[0] == "namespaces":
        parts = ["projects", parts[1], "locations", region(call), *parts[2:]]
    return "/".join(parts)


def project(call: Call, given: str) -> str:
    """The id of a project that is given by id or number (behaviour 3.1.1)."""
    own = str(call.plane.general["project"])
    return own if given == str(project_number(own)) else given


def region(call: Call) -> str:
    """The region that a call of v1 is about; `-` where the host serves all regions and the call only reads."""
    if found := _REGIONAL.search(call.endpoint):
        return found[1]
    if call.method.verb == "GET" and call.method.action == "list":
        return "-"
    known = call.plane.general.get("region")
    if not known:
        raise InvalidArgument("host: it must name the region of a call of run v1, as in us-central1-run.googleapis.com")
    return str(known)


def parent(call: Call) -> str:
    """The parent of what is to be made: `projects/P/locations/R`.

    Raises:
        InvalidArgument: Google has no such region.
    """
    found = full(call, call.text("parent"))
    located.region_of(found)
    return found


def new_id(given: str, field: str) -> str:
    """The id of what is to be made.

    Raises:
        InvalidArgument: it breaks Cloud Run's rule.
    """
    if not _ID.fullmatch(given):
        raise InvalidArgument(
            GoogleText(
                f"{field}: Resource name must use only lowercase letters, numbers and '-'. Must begin with a letter and"
                f" cannot end with a '-'. Maximum length is 49 characters. Got: '{given}'"
            )
        )
    return given


def new_revision(given: str) -> str:
    """The id of a revision.

    Raises:
        InvalidArgument: it breaks Cloud Run's rule.
    """
    if not re.fullmatch(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", given):
        raise InvalidArgument(
            GoogleText(
                "metadata.name: Revision name must use only lowercase letters, numbers and '-', begin with a letter,"
                " not"
                f" end with a '-', and have at most 63 characters. Got: '{given}'"
            )
        )
    return given


def record(call: Call, kind: str, name: str) -> Record:
    """A resource by its full name.

    Raises:
        NotFound: there is none.
    """
    if found := call.plane.find(kind, name):
        return found
    what = {SERVICES: "service", REVISIONS: "revision", JOBS: "job", EXECUTIONS: "execution"}.get(kind, "resource")
    raise NotFound(f"{what} '{name.rpartition('/')[2]}': not found", reason="notFound")


def below(call: Call, kind: str, parent: str) -> Iterator[Record]:
    """The resources of a kind in a region, or (`-`) in all of a project."""
    place = parent.removesuffix("-") if parent.endswith("/locations/-") else f"{parent}/"
    yield from call.plane.list(kind, place)
