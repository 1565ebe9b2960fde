"""What is not JSON: uploads of source code, and the token endpoint.  Each is found by verb and path alone."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl

from testbed.api.identity import Identity
from testbed.control.plane import ControlPlane

Response = tuple[int, dict[str, str], bytes]
"""HTTP status, headers besides the usual ones, and body."""
TOO_LARGE = 413


@dataclass(frozen=True, slots=True)
class RawCall:
    """A request as it came."""

    verb: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Uploads:
    """Where uploads are kept, and who else is needed to serve them."""

    folder: Path
    plane: ControlPlane
    identity: Identity


@dataclass(frozen=True, slots=True)
class Raw:
    """One kind of such requests."""

    verbs: frozenset[str]
    pattern: re.Pattern[str]
    serve: Callable[[RawCall, Uploads], Response]
    upload: bool


_ALL: list[Raw] = []


def serves_raw(verbs: str, pattern: str, *, upload: bool = False) -> Callable[[Serve], Serve]:
    """Register who serves paths that match: `@serves_raw("POST", "token")`."""

    def register(serve: Serve) -> Serve:
        _ALL.append(Raw(frozenset(verbs.split()), re.compile(pattern), serve, upload))
        return serve

    return register


Serve = Callable[[RawCall, Uploads], Response]


def find(verb: str, path: str) -> Raw | None:
    """Who serves a request, if it is one of these."""
    return next((one for one in _ALL if verb in one.verbs and one.pattern.fullmatch(path)), None)


@serves_raw("POST", "token|oauth2/v4/token|o/oauth2/token")
def token(call: RawCall, uploads: Uploads) -> Response:
    """OAuth's token endpoint, of oauth2.googleapis.com."""
    answer = uploads.identity.exchange(dict(parse_qsl(call.body.decode("utf-8", "replace"))), time.time())
    return (400 if "error" in answer else 200), {}, json.dumps(answer).encode()
