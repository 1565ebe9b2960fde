"""What the parameters of a call may be: projects have a grammar, and no name has control characters."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from testbed.errors import GoogleText, InvalidArgument
from testbed.model.core.names import COMPUTE_NAME, NAME_RULE
from testbed.model.core.projects import ABOVE

_PROJECTS = frozenset({"project", "projectId", "appsId"})
"""Parameters that are projects."""
_NUMBER = re.compile(r"[0-9]{1,19}")
_ANY = "-"
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def check(path: Mapping[str, str], query: Mapping[str, str]) -> None:
    """See that the parameters of a path and of a query can be what they stand for.

    Raises:
        InvalidArgument: they cannot.
    """
    for key, text in path.items():
        if _CONTROL.search(text):
            raise InvalidArgument(f"parameter {key}: it must not have control characters")
    for project in (*projects(path), *projects(query)):
        if not (COMPUTE_NAME.fullmatch(project) or _NUMBER.fullmatch(project) or project == _ANY):
            raise InvalidArgument(GoogleText(f"Invalid value for field 'project': '{project}'. {NAME_RULE}"))


def projects(parameters: Mapping[str, str]) -> Iterator[str]:
    """The projects that parameters name, however they do."""
    for key, text in parameters.items():
        first, *rest = text.split("/")
        if rest and first in ABOVE:
            yield rest[0]
        elif key in _PROJECTS:
            yield text
