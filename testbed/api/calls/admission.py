"""What every call has to pass before it is served: its API is enabled in the project, and no fault waits for it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from testbed.api.calls.call import Call
from testbed.api.calls.parameters import projects
from testbed.api.contract.discovery import APIS
from testbed.control.accept.plane import ControlPlane
from testbed.errors import GoogleText, PermissionDenied
from testbed.model.core.projects import project_number
from testbed.model.core.resource import last

KIND = "serviceusage.services"
SERVED = frozenset(f"{api.split('.')[0]}.googleapis.com" for api in APIS)
"""The services that the testbed answers for."""
_PREFIX = re.compile(r"(?:(?:compute|dns|storage)/|apis/[^/]+/)?v\d\w*/")
_ALWAYS = frozenset({"serviceusage", "cloudresourcemanager", "iam"})
"""APIs that answer even so: without them, nothing could be enabled (our choice)."""


class ServiceDisabled(PermissionDenied):
    """An API that is not enabled in a project (behaviour 1.1.8)."""

    def __init__(self, service: str, project: str) -> None:
        number = project_number(project)
        self.url = f"https://console.developers.google.com/apis/api/{service}/overview?project={number}"
        super().__init__(
            GoogleText(
                f"{known_services()[service]} has not been used in project {number} before or it is disabled. Enable it"
                f" by visiting {self.url} then retry. If you enabled this API recently, wait a few minutes for the"
                " action to propagate to our systems and retry."
            ),
            reason="SERVICE_DISABLED",
        )
        self.details = (
            {
                "@type": "type.googleapis.com/google.rpc.Help",
                "links": [{"description": "Google developers console API activation", "url": self.url}],
            },
            {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "SERVICE_DISABLED",
                "domain": "googleapis.com",
                "metadata": {"service": service, "consumer": f"projects/{number}"},
            },
        )


def admit(call: Call) -> None:
    """Let a call pass.

    Raises:
        PermissionDenied: its project was never made, and the testbed is strict about that.
        ServiceDisabled: its API is not enabled.
        TestbedError: a fault says so.
    """
    api = call.method.api.split(".")[0]
    project = next(projects(call.parameters), None)
    if project is not None:
        _see_that_it_is_there(call, project)
    if project is not None and api not in _ALWAYS:
        service = f"{api}.googleapis.com"
        if state_of(call.plane, project, service) == "DISABLED":
            raise ServiceDisabled(service, project)
    call.plane.refuse(call.method.id, resource_of(call))


def _see_that_it_is_there(call: Call, project: str) -> None:
    """Refuse a call about a project that was never made, if the testbed is to do so (`--strict-projects`).

    Google says no word of whether there is one; the texts are recalled.
    """
    with call.plane.reading() as store:
        strict = store.strict_projects
    if not strict or (call.method.action == "create" and call.method.collection.endswith("projects")):
        return
    if project in {"-", *call.plane.projects()}:
        return
    match call.method.api.split(".")[0]:
        case "compute":
            text = f"Required '{call.method.id}' permission for 'projects/{project}'"
            raise PermissionDenied(GoogleText(text), reason="forbidden")
        case "cloudresourcemanager":
            raise PermissionDenied(GoogleText("The caller does not have permission"))
        case _:
            raise PermissionDenied(GoogleText(f"Permission denied on resource project {project}."))


def state_of(plane: ControlPlane, project: str, service: str) -> str:
    """Whether a service is ENABLED or DISABLED in a project."""
    record = plane.find(KIND, f"projects/{project}/services/{service}")
    if record is None:
        return "ENABLED" if service in SERVED else "DISABLED"
    return str((record.body if record.effective is None else record.effective)["state"])


def resource_of(call: Call) -> str:
    """The full name of what a call is about, as far as it says: of what it makes, with the id that it gives it."""
    filled = re.sub(r"\{\+?(\w+)\}", lambda found: call.text(found[1]), call.method.path)
    path = _PREFIX.sub("", filled, count=1).partition(":")[0]
    made = next((call.text(name) for name in call.method.parameters if name.endswith("Id") and call.text(name)), "")
    name = made or str(call.body.get("name", ""))
    return f"{path}/{last(name)}" if name and call.method.action in {"create", "insert"} else path


@cache
def known_services() -> Mapping[str, str]:
    """Google's services and their titles: what google-api-python-client has a document of."""
    folder = files("googleapiclient") / "discovery_cache" / "documents"
    index = json.loads((folder / "index.json").read_text(encoding="utf-8"))["items"]
    titles = {item["name"]: item["title"] for item in index}
    titles["appengineflex"] = "Google App Engine Flexible Environment"  # has no methods of its own, but is enabled
    for name, _, version in sorted(file.name.removesuffix(".json").partition(".") for file in folder.iterdir()):
        if version and name not in titles:  # the index does not have them all
            served = f"{name}.{version}" in APIS
            titles[name] = json.loads((folder / f"{name}.{version}.json").read_text())["title"] if served else name
    return {f"{name}.googleapis.com": title for name, title in sorted(titles.items())}
