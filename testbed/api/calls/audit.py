"""The audit log: one line of JSON for each call that changes something, in the shape of Cloud Audit Logs.

Admin Activity is always written; Data Access (reads) is off, as at Google's (behaviour 5.2.2, 5.2.3).
"""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from testbed.api.contract import errors, messages
from testbed.api.contract.discovery import Method
from testbed.control.state.json_lines import JsonLines
from testbed.errors import TestbedError
from testbed.json_object import Json
from testbed.model.core.projects import ABOVE

log = logging.getLogger("testbed.api")
FILE = "audit.jsonl"
OLDER = "audit-older.jsonl"
LARGEST = 32 << 20
"""Bytes after which a new file is begun; of the older ones, one is kept (our choice: Google keeps 400 days)."""
_LOG = "cloudaudit.googleapis.com%2Factivity"
_READ = re.compile("(get|list|lint|query|search|tail|test|wait)")
"""How the methods are called that only read, whatever their verb: `testIamPermissions` is a POST."""


class AuditLog:
    """The audit log of one testbed, in its folder."""

    def __init__(self, folder: Path) -> None:
        self._file = JsonLines(folder / FILE, folder / OLDER)

    def write(self, method: Method, parameters: Mapping[str, str], principal: str, error: TestbedError | None) -> None:
        """Note a call and how it ended."""
        if method.verb == "GET" or _READ.match(method.action):
            return
        try:
            self._file.append([_entry(method, parameters, principal, error)], LARGEST)
        except OSError as failure:  # the call itself is over
            log.warning("the audit log cannot be written: %s", failure.strerror)

    def entries(self) -> Iterator[Json]:
        """All entries, the oldest first."""
        return self._file.read()


def method_name(method: Method) -> str:
    """The name by which audit logs know a method: that of its RPC, or `v1.compute.firewalls.insert`.

    IAM leaves its service out and spells its own name in capitals: `google.iam.admin.v1.SetIAMPolicy` (behaviour
    5.2.5).
    """
    name, _, version = method.api.partition(".")
    if rpc := messages.rpc_name(method):
        return rpc.replace("v1.IAM.", "v1.").replace("IamPolicy", "IAMPolicy") if name == "iam" else rpc
    return f"{version}.{method.id}" if name == "compute" else f"google.{name}.{version}.{method.id.partition('.')[2]}"


def _entry(method: Method, parameters: Mapping[str, str], principal: str, error: TestbedError | None) -> Json:
    name = method.api.split(".")[0]
    resource = parameters.get("name") or parameters.get("parent") or "/".join(parameters.values())
    payload: Json = {
        "@type": "type.googleapis.com/google.cloud.audit.AuditLog",
        "serviceName": f"{name}.googleapis.com",
        "methodName": method_name(method),
        "resourceName": resource,
        "authenticationInfo": {"principalEmail": principal},
    }
    if error is not None:
        payload["status"] = {"code": errors.code(error), "message": error.message}
    project = _project(method, parameters, resource)
    now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    return {
        "protoPayload": payload,
        "insertId": secrets.token_hex(8),
        "timestamp": now,
        "receiveTimestamp": now,
        "severity": "ERROR" if error else "NOTICE",
        "logName": f"projects/{project}/logs/{_LOG}",
        "resource": {"type": "audited_resource", "labels": {"service": f"{name}.googleapis.com", "method": method.id}},
    }


def _project(method: Method, parameters: Mapping[str, str], resource: str) -> str:
    """The project whose log has the entry; empty if the path names none."""
    parts = resource.split("/")
    if parts[0] in ABOVE and len(parts) > 1:
        return parts[1]
    named = ("project", "projectId", "projectsId", "appsId", *(("resource",) if "projects" in method.path else ()))
    return next((parameters[name] for name in named if name in parameters), "")
