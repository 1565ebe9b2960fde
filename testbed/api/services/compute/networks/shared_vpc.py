"""Shared VPC: which projects are hosts, and which are attached to them (behaviour 4.6)."""

from __future__ import annotations

from testbed.api.calls.call import Answer, Call, serves
from testbed.api.contract import listing
from testbed.api.services.compute import projects
from testbed.api.services.compute.collection import API
from testbed.api.services.compute.names import url
from testbed.control.accept.plane import ControlPlane
from testbed.errors import FailedPrecondition, GoogleText, InvalidArgument
from testbed.json_object import Json

HOST = "hostProject"
"""Where the record of a service project says which project is its host."""


def is_host(plane: ControlPlane, project: str) -> bool:
    """Whether a project is a Shared VPC host."""
    return projects.body_of(plane, project).get(projects.STATUS) == "HOST"


def host_of(plane: ControlPlane, project: str) -> str | None:
    """The host project that a project is attached to."""
    return projects.body_of(plane, project).get(HOST)


def attached(plane: ControlPlane, host: str) -> list[str]:
    """The service projects of a host."""
    return [record.id for record in plane.list(projects.KIND) if record.body.get(HOST) == host]


@serves(API, "projects.enableXpnHost")
def enable_host(call: Call) -> Answer:
    """Make a project a host.

    Raises:
        FailedPrecondition: it is a service project (behaviour 4.6.1).
    """
    project = call.text("project")
    if host := host_of(call.plane, project):
        raise FailedPrecondition(f"project '{project}': it is a service project of '{host}'")  # our words
    return projects.change(call, project, {projects.STATUS: "HOST"})


@serves(API, "projects.disableXpnHost")
def disable_host(call: Call) -> Answer:
    """Let a project be a host no more.

    Raises:
        FailedPrecondition: projects are attached to it.
    """
    project = call.text("project")
    if known := attached(call.plane, project):
        message = f"project '{project}': it has service projects: {', '.join(known)}"
        raise FailedPrecondition(message)
    return projects.change(call, project, {projects.STATUS: None})


@serves(API, "projects.enableXpnResource")
def attach(call: Call) -> Answer:
    """Attach a service project to a host.

    Raises:
        FailedPrecondition: the one is no host, or the other is one, or attached to another one (behaviour 4.6.1).
    """
    host, service = call.text("project"), _resource(call)
    if not is_host(call.plane, host):
        raise FailedPrecondition(f"project '{host}': it is not a Shared VPC host project")  # our words, as below
    if is_host(call.plane, service):
        raise FailedPrecondition(f"project '{service}': it is a Shared VPC host project itself")
    if host_of(call.plane, service) not in {None, host}:
        raise FailedPrecondition(f"project '{service}': it is attached to another host project")
    return projects.change(call, service, {HOST: host})


@serves(API, "projects.disableXpnResource")
def detach(call: Call) -> Answer:
    """Detach a service project.

    Raises:
        FailedPrecondition: it is not attached.
    """
    host, service = call.text("project"), _resource(call)
    if host_of(call.plane, service) != host:
        raise FailedPrecondition(f"project '{service}': it is not attached to '{host}'")  # our words
    return projects.change(call, service, {HOST: None})


@serves(API, "projects.getXpnHost")
def get_host(call: Call) -> Json:
    """The host of a service project; nothing, if it has none."""
    host = host_of(call.plane, call.text("project"))
    return projects.view(call.plane, host) if host else {"kind": "compute#project"}


@serves(API, "projects.getXpnResources")
def resources(call: Call) -> Json:
    """The service projects of a host."""
    found: list[Json] = [{"id": name, "type": "PROJECT"} for name in attached(call.plane, call.text("project"))]
    return _page(call, found, "compute#projectsGetXpnResources", "resources", "id")


@serves(API, "projects.listXpnHosts")
def hosts(call: Call) -> Json:
    """All host projects: the testbed has one organization."""
    found = [projects.view(call.plane, r.id) for r in call.plane.list(projects.KIND) if is_host(call.plane, r.id)]
    name = f"projects/{call.text('project')}/listXpnHosts"
    return {**_page(call, found, "compute#xpnHostList", "items", "name"), "id": name, "selfLink": url(name)}


def _resource(call: Call) -> str:
    given = call.body.get("xpnResource", {})
    if given.get("type", "PROJECT") != "PROJECT" or not given.get("id"):
        raise InvalidArgument(
            GoogleText("Invalid value for field 'xpnResource': only projects can be attached, by their ids.")
        )
    return str(given["id"])


def _page(call: Call, found: list[Json], kind: str, field: str, key: str) -> Json:
    page = listing.page(
        found,
        size=call.number("maxResults"),
        token=call.text("pageToken"),
        key=lambda item: str(item[key]),
        collection=call.text("project"),
        rules=listing.COMPUTE,
    )
    return {"kind": kind, **page.answer(field)}
