"""Requests to what was deployed, by the host names that Google's products give it: they go to the front end.

So a client that takes the door for its proxy reaches services at the URLs that it is told.  What it asks comes from the
internet, as by `testbed invoke`.  Answers come in one piece.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from testbed.api.calls.raw import RawCall, Response
from testbed.api.frontdoor.hosts import without_port
from testbed.control import invocation
from testbed.control.accept.plane import ControlPlane

LIMIT = 32 << 20
"""Bytes of a request: what the front end takes, and Google's."""
TIMEOUT = 300.0
_HOP_BY_HOP = frozenset(
    {
        "connection",
        "content-length",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""What is of one connection only (RFC 9110, 7.6.1), or is said anew."""
_pool = ThreadPoolExecutor(32, "workloads")


async def forward(plane: ControlPlane, host: str, target: str, call: RawCall) -> Response:
    """The answer of a service; `target` is path and query as they came.

    Raises:
        TestbedError: it cannot be reached, or takes too long.
    """
    kept = {name: value for name, value in call.headers.items() if name not in _HOP_BY_HOP}

    def ask() -> Response:
        answer = invocation.request(
            plane.store.name,
            plane.running,
            without_port(host),
            call.verb,
            target,
            body=call.body or None,
            headers=kept,
            timeout=TIMEOUT,
        )
        shown = {name.lower(): value for name, value in answer.headers if name.lower() not in _HOP_BY_HOP}
        return answer.status, {"content-type": "application/octet-stream", **shown}, answer.body

    return await asyncio.get_running_loop().run_in_executor(_pool, ask)
