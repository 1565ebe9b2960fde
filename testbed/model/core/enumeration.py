"""Google's enumerations, whose values are the names of their members."""

from __future__ import annotations

from enum import StrEnum


class Enumeration(StrEnum):
    """An enumeration whose members get their names as values."""

    @staticmethod
    def _generate_next_value_(name: str, start: int, count: int, last_values: list[str]) -> str:  # noqa: ARG004
        return name
