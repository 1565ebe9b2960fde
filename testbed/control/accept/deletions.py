"""What a topology file deletes that an API has made: it has to be said before, for it stands in no file."""

from __future__ import annotations

from collections.abc import Sequence

from testbed.errors import FailedPrecondition

REASON = "deletesWhatAnApiHasMade"
"""The reason of the error, for the command line, which asks."""
_LISTED = 20


def check(deleted: Sequence[tuple[str, str]]) -> None:
    """Refuse to delete these resources, given by kind and name.

    Raises:
        FailedPrecondition: there are some; they are listed.
    """
    if deleted:
        names = [f"\n  {kind} {name}" for kind, name in deleted[:_LISTED]]
        more = f"\n  and {len(deleted) - _LISTED} more" if len(deleted) > _LISTED else ""
        raise FailedPrecondition(
            f"topology: it lacks {len(deleted)} resources that an API has made, and would delete them:"
            f"{''.join(names)}{more}",
            hint="testbed export writes what there is as a file; --yes deletes them",
            reason=REASON,
        )
