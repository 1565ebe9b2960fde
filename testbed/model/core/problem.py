"""What is wrong with resources that do not fit together."""

from __future__ import annotations

from typing import Literal, NamedTuple

from testbed.model.core.annotations import Path


class Problem(NamedTuple):
    """What is wrong, and where: the path of keys and indices in the topology."""

    path: Path
    message: str
    value: object = None
    """The value at fault; None if the message is Google's whole text, which names it."""
    status: Literal["INVALID_ARGUMENT", "NOT_FOUND", "ALREADY_EXISTS"] = "INVALID_ARGUMENT"
    """As what Google refuses it: the name of a `google.rpc.Code`."""


class Inconsistent(ValueError):  # noqa: N818 - read as a state, as pydantic's own ValidationError wraps it
    """A topology whose resources do not fit together."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(f"{'.'.join(map(str, p.path))}: {p.message}" for p in problems))
        self.problems = problems
