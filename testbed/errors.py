"""Every error that the testbed raises on purpose.

    TestbedError
    |- InvalidArgument      the input is wrong, whatever the state           (exit 2)
    |- NotFound             a resource that was named is not there           (exit 3)
    |- AlreadyExists        a resource of that name is there already         (exit 4)
    |- FailedPrecondition   the input is right, the state forbids it         (exit 5)
    |- PermissionDenied     the caller may not                               (exit 6)
    |- ResourceExhausted    no address, instance or quota left               (exit 7)
    |- Unavailable          something needed is not running; try again       (exit 8)
    |- DeadlineExceeded     it did not become true in time                   (exit 9)
    |- Unimplemented        this machine or this version cannot do it        (exit 10)
    |- Unauthenticated      the caller is not who it says it is              (exit 11)
    |- Aborted              stopped on request                               (exit 130)
    `- Internal             a defect of the testbed                          (exit 70)

The classes carry the names of `google.rpc.Code`, so that an API server and the command line say the same thing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NewType

CODES: Mapping[str, int] = {
    "INVALID_ARGUMENT": 3, "DEADLINE_EXCEEDED": 4, "NOT_FOUND": 5, "ALREADY_EXISTS": 6, "PERMISSION_DENIED": 7,
    "RESOURCE_EXHAUSTED": 8, "FAILED_PRECONDITION": 9, "ABORTED": 10, "UNIMPLEMENTED": 12, "INTERNAL": 13,
    "UNAVAILABLE": 14, "UNAUTHENTICATED": 16, "UNKNOWN": 2,
}  # fmt: skip
"""Numbers of `google.rpc.Code`."""

GoogleText = NewType("GoogleText", str)
"""A text in Google's own words, which clients compare: our habits for texts do not hold for it."""


class TestbedError(Exception):
    """An error with a code, a sentence that says what is wrong and where, and (if there is one) a next step."""

    __test__ = False  # the name begins with "Test": pytest must not collect it

    status: ClassVar[str] = "UNKNOWN"
    """The canonical name of the code in `google.rpc.Code`."""
    exit_status: ClassVar[int] = 1
    details: Sequence[Mapping[str, Any]] = ()
    """Details for clients of the API, in addition to the text (AIP-193), if the error says more than its reason."""

    def __init__(self, message: str, *, hint: str | None = None, reason: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.reason = reason
        """Google's word for the cause where a status has several, as `resourceInUseByAnotherResource`."""


class InvalidArgument(TestbedError):
    """The input is wrong, whatever the state of the testbed."""

    status = "INVALID_ARGUMENT"
    exit_status = 2


class NotFound(TestbedError):
    """A resource that was named does not exist."""

    status = "NOT_FOUND"
    exit_status = 3


class AlreadyExists(TestbedError):
    """A resource of that name exists, or something not ours is in the way."""

    status = "ALREADY_EXISTS"
    exit_status = 4


class FailedPrecondition(TestbedError):
    """The input is right, but the state of the testbed does not allow it now."""

    status = "FAILED_PRECONDITION"
    exit_status = 5


class PermissionDenied(TestbedError):
    """The caller lacks a right (root, the Docker socket, a capability)."""

    status = "PERMISSION_DENIED"
    exit_status = 6


class ResourceExhausted(TestbedError):
    """No address, instance or quota is left."""

    status = "RESOURCE_EXHAUSTED"
    exit_status = 7


class Unavailable(TestbedError):
    """Something that is needed does not run; the same call may succeed later."""

    status = "UNAVAILABLE"
    exit_status = 8


class DeadlineExceeded(TestbedError):
    """A condition did not become true in time; the message carries the evidence."""

    status = "DEADLINE_EXCEEDED"
    exit_status = 9


class Unimplemented(TestbedError):
    """This kernel, machine or version cannot do it."""

    status = "UNIMPLEMENTED"
    exit_status = 10


class Unauthenticated(TestbedError):
    """The caller is not who it says it is: a token or a signature that does not hold."""

    status = "UNAUTHENTICATED"
    exit_status = 11


class Aborted(TestbedError):
    """The work was stopped on request."""

    status = "ABORTED"
    exit_status = 130


class Internal(TestbedError):
    """A defect of the testbed itself."""

    status = "INTERNAL"
    exit_status = 70
