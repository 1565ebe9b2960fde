"""Errors as Google's APIs print them: an HTTP status and an envelope, or a `google.rpc.Status`."""

from __future__ import annotations

import re
from collections.abc import Mapping

from testbed.control.accept.plane import InvalidResource
from testbed.errors import CODES, GoogleText, Internal, TestbedError
from testbed.foreign_errors import translated
from testbed.json_object import Json

HTTP: Mapping[str, int] = {
    "INVALID_ARGUMENT": 400, "FAILED_PRECONDITION": 400, "UNAUTHENTICATED": 401, "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404, "ALREADY_EXISTS": 409, "ABORTED": 409, "RESOURCE_EXHAUSTED": 429, "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503, "DEADLINE_EXCEEDED": 504,
}  # fmt: skip
"""HTTP statuses of `google.rpc.Code`, as its proto says."""
_BY_REASON: Mapping[str, int] = {
    "conditionNotMet": 412, "uploadTooLarge": 413, "quotaExceeded": 403, "requestTimeout": 408,
}  # fmt: skip
_REASONS: Mapping[str, str] = {
    "INVALID_ARGUMENT": "invalid", "FAILED_PRECONDITION": "failedPrecondition", "UNAUTHENTICATED": "required",
    "PERMISSION_DENIED": "forbidden", "NOT_FOUND": "notFound", "ALREADY_EXISTS": "alreadyExists",
    "ABORTED": "aborted", "RESOURCE_EXHAUSTED": "rateLimitExceeded", "UNIMPLEMENTED": "notImplemented",
    "UNAVAILABLE": "backendError",
}  # fmt: skip
_USAGE: Mapping[str, str] = {"SERVICE_DISABLED": "accessNotConfigured", "quotaExceeded": "quotaExceeded"}
"""Reasons of the domain `usageLimits`, and how they are spelled there."""
LEGACY = frozenset({"compute", "dns", "storage", "iam"})
"""APIs whose errors have a list `errors`, with reason and domain."""
_WITHOUT_STATUS = frozenset({"compute", "dns", "storage"})
"""APIs whose own errors have no `status`; what Google's front end refuses for all APIs has one."""
_OF_FRONT_END = frozenset({"UNAUTHENTICATED", "UNIMPLEMENTED", "UNAVAILABLE"})
_VIOLATION = re.compile(r"(Violation in [\w.\[\]]+): (.+)", re.DOTALL)


def http_status(error: TestbedError) -> int:
    """The HTTP status of an error."""
    return _BY_REASON.get(error.reason or "", HTTP.get(error.status, 500))


def envelope(error: TestbedError, api: str) -> Json:
    """The body of an error's answer; `api` is the name of the API without its version."""
    message, code = message_of(error, api), http_status(error)
    found = details(error, api)
    more: Json = {"details": found} if found else {}
    by_front_end = error.status in _OF_FRONT_END or message.startswith("Invalid JSON payload")
    if api not in _WITHOUT_STATUS or found or by_front_end:
        more = {"status": error.status, **more}
    if api in LEGACY:
        reason = error.reason or _REASONS.get(error.status, "backendError")
        domain = "usageLimits" if reason in _USAGE else "global"
        errors = [{"message": message, "domain": domain, "reason": _USAGE.get(reason, reason)}]
        return {"error": {"code": code, "message": message, "errors": errors, **more}}
    return {"error": {"code": code, "message": message, **more}}


def message_of(error: TestbedError, api: str) -> str:
    """What an error says; compute names the field."""
    if api == "compute" and isinstance(error, InvalidResource):
        field = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.path)
        return f"Invalid value for field 'resource{field}': '{_short(error.value)}'. {error.message}"
    return f"{error.message} ({error.hint})" if error.hint else error.message


def details(error: TestbedError, api: str) -> list[Json]:
    """The details of an error that clients can read, in addition to its text.

    The fields that are violated are details, in APIs that have details.  A text of Cloud Run names its field itself.
    """
    found: list[Json] = [dict(detail) for detail in error.details]
    if found or api in _WITHOUT_STATUS:
        return found
    if violation := _VIOLATION.fullmatch(error.message):
        found.append(bad_request(violation[1], violation[2]))
    elif isinstance(error, InvalidResource) and error.path:
        found.append(bad_request(".".join(map(str, error.path)), error.message))
    return found


def bad_request(field: str, description: str) -> Json:
    """The detail of an error that says which field of a request is wrong, and how."""
    violation = {"field": field, "description": description}
    return {"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [violation]}


def for_caller(error: Exception) -> TestbedError:
    """What a caller is told of an error of any kind.  Of one that nobody meant, only the log says more."""
    known = translated(error)
    if known is error or not isinstance(known, Internal):
        return known
    return Internal(GoogleText("Internal error encountered."), hint="the controller's log says more")


def code(error: TestbedError) -> int:
    """The number of `google.rpc.Code`."""
    return CODES.get(error.status, 2)


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
