"""The tokens of a workload's own service account."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping

from testbed.api.callers.identity import Identity
from testbed.api.metadata import answers, entries
from testbed.api.metadata.callers import Caller, Machine
from testbed.api.metadata.tree import Made
from testbed.api.metadata.wire import Reply
from testbed.errors import Unauthenticated
from testbed.json_object import Json
from testbed.model.core.projects import project_number

FRESH = 300
"""Seconds before its end from which on a token is not given out any more, as Google's documentation has it."""


class Accounts:
    """Makes what is made for a workload; an access token is the same one until it is about to end."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._lock = threading.Lock()
        self._tokens: dict[str, tuple[Json, float]] = {}
        """By account: the token and when it ends, in seconds since 1970."""

    def made(self, made: Made, email: str, caller: Caller, query: Mapping[str, str]) -> Reply:
        """What an account of a caller gets.

        Raises:
            Unavailable: it cannot be made now.
        """
        try:
            if made == entries.TOKEN:
                return answers.reply(json.dumps(self._token(email, time.time())), answers.JSON)
            return self._identity_token(email, caller, query)
        except Unauthenticated:  # our choice of words; Google's are not documented
            return answers.page(403, f"The service account {email} is disabled.")

    def _token(self, email: str, now: float) -> Json:
        with self._lock:
            known, end = self._tokens.get(email, ({}, 0.0))
            if now < end - FRESH and self._identity.accepts(known["access_token"], now):
                return {**known, "expires_in": int(end - now)}
            answer = self._identity.access_token(email, now)
            self._tokens[email] = answer, now + answer["expires_in"]
            return answer

    def _identity_token(self, email: str, caller: Caller, query: Mapping[str, str]) -> Reply:
        audience = query.get("audience", "")
        if not audience:
            return answers.page(400, "Non-empty audience parameter required.")
        full = query.get("format", "standard").lower() == "full" and isinstance(caller, Machine)
        about = {"google": {"compute_engine": _about(caller)}} if full and isinstance(caller, Machine) else {}
        token = self._identity.id_token(email, audience, time.time(), about)
        return answers.reply(token, "text/html")


def _about(caller: Machine) -> Json:
    """What a token with `format=full` says of the VM."""
    project = entries.project_of(caller)
    return {
        "project_id": project,
        "project_number": project_number(project),
        "zone": caller.instance.zone,
        "instance_id": str(entries.instance_id(caller)),
        "instance_name": caller.instance.name,
        "instance_creation_timestamp": int(caller.record.created),
    }
