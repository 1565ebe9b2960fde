"""What a request asks for (its query) and what the deployment was given (its environment)."""

from __future__ import annotations

import os

from flask import request
from werkzeug.exceptions import BadRequest, NotFound

TIMEOUT = 5.0
"""Seconds until an upstream that says nothing is given up, unless `?timeout=` says another figure."""
MAX_TIMEOUT = 30.0


def service() -> str:
    """The name under which this is deployed."""
    return os.environ.get("K_SERVICE") or os.environ.get("GAE_SERVICE") or os.environ.get("FUNCTION_NAME") or "unknown"


def revision() -> str:
    """The revision of a Cloud Run service or function, the version of an App Engine app."""
    return os.environ.get("K_REVISION") or os.environ.get("GAE_VERSION") or ""


def setting(variable: str) -> str:
    """An environment variable that this path cannot do without."""
    value = os.environ.get(variable)
    if not value:
        raise NotFound(f"this deployment has no {variable} in its environment")
    return value


def argument(name: str) -> str:
    """A query parameter that must be there."""
    value = request.args.get(name)
    if not value:
        raise BadRequest(f"?{name}= is missing")
    return value


def number(name: str, default: float, lowest: float, highest: float) -> float:
    """A query parameter that is a number within bounds."""
    text = request.args.get(name)
    try:
        value = default if text is None else float(text)
    except ValueError:
        raise BadRequest(f"?{name}={text} is not a number") from None
    if not lowest <= value <= highest:
        raise BadRequest(f"?{name}={text} is not within {lowest:g}..{highest:g}")
    return value


def timeout() -> float:
    """`?timeout=`: seconds that an upstream has for each of its answers."""
    return number("timeout", TIMEOUT, 0.1, MAX_TIMEOUT)


def server() -> tuple[str, int]:
    """Host and port of `?host=&port=`."""
    argument("port")
    return argument("host"), int(number("port", 0, 1, 65535))
