"""Calls services from the internet, through the front end: what a request by their host name does."""

from __future__ import annotations

from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException
from typing import NamedTuple

from testbed.errors import DeadlineExceeded, Unavailable
from testbed.fabric.allocation.keys import AddressKey
from testbed.fabric.allocation.running import Running
from testbed.kernel import namespace
from testbed.model.core.well_known import INTERNET

_PORT = 80


class Answer(NamedTuple):
    """What a service answers."""

    status: int
    reason: str
    headers: list[tuple[str, str]]
    body: bytes


def request(
    testbed: str,
    running: Running,
    host: str,
    method: str,
    target: str,
    *,
    body: bytes | None,
    headers: Mapping[str, str],
    timeout: float,
) -> Answer:
    """One HTTP request whose socket is in the internet's namespace; `target` is the path and the query.

    Raises:
        DeadlineExceeded: there was no answer in time.
        Unavailable: the front end cannot be reached.
    """
    address = running.allocations.addresses.get(AddressKey.front_end())
    if address is None:
        raise Unavailable("front end: the testbed has none", hint="add a service to the topology")
    connection = HTTPConnection(host, timeout=timeout)
    try:
        internet = namespace.segment(testbed, INTERNET)
        connection.sock = namespace.connect(internet, (address, _PORT), timeout)
        connection.request(method, target, body, dict(headers))
        response = connection.getresponse()
        return Answer(response.status, response.reason, response.getheaders(), response.read())
    except TimeoutError as error:
        raise DeadlineExceeded(f"host {host}: no answer within {timeout:g} s") from error
    except (OSError, HTTPException) as error:
        raise Unavailable(
            f"front end ({address}): it cannot be reached: {error}", hint="`testbed status` shows whether it is running"
        ) from error
    finally:
        connection.close()
