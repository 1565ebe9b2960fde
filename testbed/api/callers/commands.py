"""What the controller does for `testbed key` and `testbed env`: keys of service accounts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from testbed.api.callers.identity import Identity
from testbed.api.callers.keys import KEYS, SqliteKeys
from testbed.control.accept.plane import ControlPlane
from testbed.control.channel.listener import Handler, Request
from testbed.errors import InvalidArgument
from testbed.json_object import Json

_SHORT = re.compile(r"[a-z](?:[-a-z0-9]{4,28}[a-z0-9])")
_FULL = re.compile(r"[-a-z0-9.]+@[-a-z0-9.]+\.gserviceaccount\.com")


class KeyCommands:
    """The handlers of one testbed's controller."""

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane

    def handlers(self) -> Mapping[str, Handler]:
        """All of them, by the names of the requests."""
        return {"key create": self.create, "key list": self.list, "key delete": self.delete}

    def create(self, request: Request) -> Json:
        """A new key of a service account, as the content of its key file."""
        project = str(self._plane.general["project"])
        with self._keys() as keys:
            return Json(Identity(keys).create_key(_email(request.arguments["account"], project), project))

    def list(self, request: Request) -> Json:
        """The keys that hold: all, or those of an account."""
        account = request.arguments.get("account")
        wanted = _email(account, str(self._plane.general["project"])) if account else None
        with self._keys() as keys:
            found = [key for key in keys.all() if not key.deleted and wanted in (None, key.email)]
        return {"keys": [{"id": key.id, "account": key.email} for key in found]}

    def delete(self, request: Request) -> Json:
        """Delete a key: calls with it are refused from now on."""
        with self._keys() as keys:
            keys.delete(request.arguments["id"])
        return {}

    @contextmanager
    def _keys(self) -> Iterator[SqliteKeys]:
        with SqliteKeys.open(self._plane.store.folder / KEYS) as keys:
            yield keys


def _email(account: str, project: str) -> str:
    """The address of a service account.

    Raises:
        InvalidArgument: it is none.
    """
    if _SHORT.fullmatch(account):
        return f"{account}@{project}.iam.gserviceaccount.com"
    if not _FULL.fullmatch(account):
        raise InvalidArgument(
            f"{account!r} is not a service account: write robot@{project}.iam.gserviceaccount.com, or an id of 6 to 30"
            " lower-case letters, digits and hyphens"
        )
    return account
