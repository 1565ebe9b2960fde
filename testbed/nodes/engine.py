"""The Docker Engine: how it is reached, and what its errors mean to a user."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

import docker
import requests
from docker.errors import APIError, DockerException

from testbed.errors import FailedPrecondition, Internal, PermissionDenied, TestbedError, Unavailable

DEADLINE = 60
"""Seconds for one answer, or one part of it."""
CONNECTIONS = 16
"""Requests at a time: nodes start in parallel while others are watched."""


@contextmanager
def engine_errors(what: str) -> Iterator[None]:
    """Say an error of Docker's in the testbed's terms; `what` says what was being done.

    Raises:
        Unavailable: the engine does not answer, or failed itself (HTTP 5xx).
        PermissionDenied: this user may not use the engine.
        FailedPrecondition: the container's state forbids it (HTTP 409).
        Internal: the engine refused what the testbed asked for.

    """
    try:
        yield
    except APIError as error:
        raise meaning(error)(f"{what}: Docker says: {error.explanation or error}") from error
    except (DockerException, requests.RequestException) as error:
        raise unreachable(what, error) from error


def meaning(error: APIError) -> type[TestbedError]:
    """What kind of error an answer of the engine is."""
    if error.status_code == HTTPStatus.CONFLICT:
        return FailedPrecondition
    return Unavailable if error.is_server_error() else Internal


def unreachable(what: str, error: Exception) -> TestbedError:
    """The error to raise where the engine cannot be reached."""
    # docker-py wraps the socket's error in two other libraries' errors: the text is what is left of it.
    if "Permission denied" in str(error):
        return PermissionDenied(
            f"{what}: this user may not use the Docker Engine.",
            hint="Run the testbed as root, or add the user to the group `docker`.",
        )
    return Unavailable(
        f"{what}: the Docker Engine does not answer: {error}",
        hint="Install Docker Engine (Debian's docker.io) and start it: systemctl start docker. "
        "`testbed doctor` says what else is missing.",
    )


def connect(timeout: int = DEADLINE) -> docker.DockerClient:
    """A client of the local engine; as Docker's own, it obeys `DOCKER_HOST`.  `timeout`: seconds for each answer.

    Raises:
        Unavailable: the engine does not answer.
        PermissionDenied: this user may not use the engine.

    """
    with engine_errors("Connecting to Docker"):
        return docker.from_env(timeout=timeout, max_pool_size=CONNECTIONS)
