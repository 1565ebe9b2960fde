"""Images from a registry, where one can be reached."""

from __future__ import annotations

import requests
from docker.errors import APIError

from testbed.nodes.engine import connect, failure
from testbed.nodes.stop import Stop

PATIENCE = 10
"""Seconds without a word from the registry until we do without it."""


def pull(reference: str, stop: Stop) -> str | None:
    """Pull an image into the local engine; returns why it cannot be had, or None if it is there now.

    Raises:
        Unavailable: the engine does not answer.
        PermissionDenied: this user may not use the engine.

    """
    client = connect(timeout=PATIENCE)
    stop.watch(client)
    try:
        for event in client.api.pull(reference, stream=True, decode=True):
            if (reason := failure(event)) is not None:
                return reason
    except APIError as error:
        return str(error.explanation or error)
    except requests.RequestException as error:
        return str(error)
    finally:
        client.close()
    return None
