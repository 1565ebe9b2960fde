"""JSON as it is read from outside: what can neither be kept nor printed again is refused here, and nowhere else."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any, NoReturn

from testbed.errors import GoogleText

DEEPEST = 100
"""Values inside values: the limit of protocol buffers, and so of Google's servers."""


def parsed(text: bytes) -> Any:
    """The value that a text is.

    Raises:
        ValueError: it is none: not UTF-8, not JSON, nested too deeply, a number that is none, half a character.
    """
    try:
        value = json.loads(text.decode(), parse_constant=_refused, parse_float=_finite)
    except RecursionError:
        raise ValueError(GoogleText("Message too deep.")) from None
    if text.count(b"[") + text.count(b"{") > DEEPEST and _is_deep(value):
        raise ValueError(GoogleText("Message too deep."))
    if b"\\ud" in text.lower():  # a surrogate, which has to be one of a pair
        json.dumps(value, ensure_ascii=False).encode()
    return value


def _refused(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text[:20]} is too large")
    return number


def _is_deep(value: object) -> bool:
    level: list[object] = [value]
    for _ in range(DEEPEST):
        level = [inner for one in level for inner in _inside(one)]
        if not level:
            return False
    return True


def _inside(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()
