"""The Docker Engine: how it is reached, and what its errors mean to a user."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

import docker
import requests
from docker.errors import APIError, DockerException
from docker.utils import version_gte
from urllib3.exceptions import HTTPError

from testbed.errors import FailedPrecondition, Internal, PermissionDenied, TestbedError, Unavailable, Unimplemented

OLDEST_API = "1.41"
"""The API of Docker Engine 20.10, Debian 12's.  A newer engine is spoken to by its own, the newest that it has."""
DEADLINE = 60
"""Seconds for one answer, or one part of it."""
CONNECTIONS = 16
"""Requests at a time: nodes start in parallel while others are watched."""


@contextmanager
def engine_errors(what: str) -> Iterator[None]:
    """Say an error of Docker's in the testbed's terms; `what` says what was being done.

    Raises:
        Unavailable: the engine does not answer, or failed itself (HTTP 5xx), or what is asked for has gone (HTTP 404).
        PermissionDenied: this user may not use the engine.
        FailedPrecondition: the container's state forbids it (HTTP 409).
        Internal: the engine refused what the testbed asked for.

    """
    try:
        yield
    except APIError as error:
        raise meaning(error)(f"{what}: Docker says: {error.explanation or error}") from error
    except (DockerException, requests.RequestException, HTTPError) as error:
        raise unreachable(what, error) from error


def meaning(error: APIError) -> type[TestbedError]:
    """What kind of error an answer of the engine is."""
    if error.status_code == HTTPStatus.CONFLICT:
        return FailedPrecondition
    gone = error.status_code == HTTPStatus.NOT_FOUND  # a node that is made anew has another container
    return Unavailable if gone or error.is_server_error() else Internal


def failure(event: Mapping[str, Any]) -> str | None:
    """Why a build or a download failed, if this event of it says so (`error` is deprecated since the API 1.48)."""
    detail = event.get("errorDetail")
    return None if detail is None else str(detail.get("message") or "Docker does not say why")


def unreachable(what: str, error: Exception) -> TestbedError:
    """The error to raise where the engine cannot be reached."""
    # docker-py wraps the socket's error in two other libraries' errors: the text is what is left of it.
    if "Permission denied" in str(error):
        return PermissionDenied(
            f"{what}: this user may not use the Docker Engine",
            hint="run the testbed as root, or add the user to the group `docker`",
        )
    return Unavailable(
        f"{what}: the Docker Engine does not answer: {error}",
        hint="install Docker Engine (Debian's docker.io) and start it: systemctl start docker",
    )


def connect(timeout: int = DEADLINE) -> docker.DockerClient:
    """A client of the local engine; as Docker's own, it obeys `DOCKER_HOST`.  `timeout`: seconds for each answer.

    Raises:
        Unavailable: the engine does not answer.
        PermissionDenied: this user may not use the engine.
        Unimplemented: the engine is too old.

    """
    with engine_errors("Connecting to Docker"):
        client = docker.from_env(timeout=timeout, max_pool_size=CONNECTIONS)
    if new_enough(client.api.api_version):
        return client
    client.close()
    raise Unimplemented(
        f"Docker Engine: {too_old(client.api.api_version)}",
        hint="install Docker Engine 20.10 or newer: Debian's docker.io, or Docker's own packages",
    )


def new_enough(api: str) -> bool:
    """Whether an engine of this API version is one that the testbed works with."""
    return version_gte(api, OLDEST_API)


def too_old(api: str) -> str:
    """What is wrong with an engine that is not."""
    return f"this engine has the API {api}, and {OLDEST_API} (Docker Engine 20.10) is the oldest that will do"
