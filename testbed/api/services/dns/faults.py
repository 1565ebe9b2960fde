"""Cloud DNS's errors, in its words.  Entities are named as in its messages: `entity.change.additions[0]`."""

from __future__ import annotations

from testbed.errors import AlreadyExists, FailedPrecondition, GoogleText, InvalidArgument, NotFound


def invalid(entity: str, value: object) -> InvalidArgument:
    """A value that cannot be."""
    return InvalidArgument(GoogleText(f"Invalid value for '{entity}': '{value}'"), reason="invalid")


def required(entity: str) -> InvalidArgument:
    """A value that is not there."""
    return InvalidArgument(GoogleText(f"The '{entity}' parameter is required but was missing."), reason="required")


def missing(parameter: str, name: str) -> NotFound:
    """A resource that a path names is not there."""
    return NotFound(
        GoogleText(f"The 'parameters.{parameter}' resource named '{name}' does not exist."), reason="notFound"
    )


def absent(entity: str, name: str) -> NotFound:
    """A resource that a body names is not there."""
    return NotFound(GoogleText(f"The resource '{entity}' named '{name}' does not exist."), reason="notFound")


def taken(entity: str, name: str) -> AlreadyExists:
    """A resource of this name is there."""
    return AlreadyExists(GoogleText(f"The resource '{entity}' named '{name}' already exists"), reason="alreadyExists")


def differs(entity: str) -> FailedPrecondition:
    """What is to be deleted is not as the caller says."""
    return FailedPrecondition(GoogleText(f"Precondition not met for '{entity}'"), reason="conditionNotMet")


def not_empty(name: str) -> InvalidArgument:
    """A zone still has records of its user's."""
    return InvalidArgument(
        GoogleText(
            f"The resource named '{name}' cannot be deleted because it contains one or more 'resource records'."
        ),
        reason="containerNotEmpty",
    )


def alias(entity: str, name: str) -> InvalidArgument:
    """A CNAME beside other records."""
    return InvalidArgument(
        GoogleText(
            f"The resource record set '{entity}' is invalid because the DNS name '{name}' may have either one CNAME"
            " resource record set or resource record sets of other types, but not both."
        ),
        reason="cnameResourceRecordSetConflict",
    )


def apex(entity: str, kind: str) -> InvalidArgument:
    """A zone without its SOA or NS."""
    return InvalidArgument(
        GoogleText(
            f"The resource record set '{entity}' is invalid because a zone must contain exactly one resource record"
            " set of"
            f" type '{kind}' at the apex."
        ),
        reason="invalidZoneApex",
    )
