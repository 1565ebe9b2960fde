"""What no discovery document has: uploads of source code, the token endpoint, the keys of ID tokens.

Each is found by verb and path alone.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl

from testbed.api.callers.identity import Identity
from testbed.control.accept.plane import ControlPlane

Response = tuple[int, dict[str, str], bytes]
"""HTTP status, headers in addition to the usual ones, and body."""
TOO_LARGE = 413
TOO_SLOW = 408
FOLDER = "uploads"
"""Where uploads are kept, in the folder of the testbed."""


@dataclass(frozen=True, slots=True)
class RawCall:
    """A request as it came."""

    verb: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    endpoint: str = ""
    """How the caller reaches the control plane, as in `Call`."""


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
    """Whether bodies may be large; such requests are served in a thread of their own."""
    media: bool
    """Whether only the content of something is meant (`alt=media`), and not its description."""


_ALL: list[Raw] = []


def serves_raw(verbs: str, pattern: str, *, upload: bool = False, media: bool = False) -> Callable[[Serve], Serve]:
    """Register who serves paths that match: `@serves_raw("POST", "token")`."""

    def register(serve: Serve) -> Serve:
        _ALL.append(Raw(frozenset(verbs.split()), re.compile(pattern), serve, upload, media))
        return serve

    return register


Serve = Callable[[RawCall, Uploads], Response]


def find(verb: str, path: str, query: Mapping[str, str]) -> Raw | None:
    """Who serves a request, if it is one of these."""
    media = query.get("alt") == "media"
    fitting = (one for one in _ALL if verb in one.verbs and (media or not one.media))
    return next((one for one in fitting if one.pattern.fullmatch(path)), None)


@serves_raw("POST", "token|oauth2/v4/token|o/oauth2/token")
def token(call: RawCall, uploads: Uploads) -> Response:
    """OAuth's token endpoint, of oauth2.googleapis.com."""
    answer = uploads.identity.exchange(dict(parse_qsl(call.body.decode("utf-8", "replace"))), time.time())
    return (400 if "error" in answer else 200), {}, json.dumps(answer).encode()


@serves_raw("GET", "oauth2/v3/certs")
def certs(call: RawCall, uploads: Uploads) -> Response:
    """What ID tokens are verified with, of www.googleapis.com (a JSON Web Key Set)."""
    del call
    return 200, {}, json.dumps(uploads.identity.public_keys()).encode()
