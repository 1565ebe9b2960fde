"""The access token that `testbed env` gives to clients: it proves nothing, and says which testbed is meant.

Whoever calls is the testbed's owner, with any token or none.  But a client that was pointed at one testbed, and has
come to another that got the first one's port, must not write there.
"""

from __future__ import annotations

from testbed.errors import Unauthenticated

_PREFIX = "testbed-owner"


def owner_token(name: str, identity: str) -> str:
    """The token of a testbed's owner; `identity` is the id that no other testbed of the name has."""
    return f"{_PREFIX}.{name}.{identity}"


def check(token: str, own: str) -> None:
    """Refuse the token of another testbed's owner.

    Raises:
        Unauthenticated: it is one; the message names both testbeds.
    """
    if token.startswith(f"{_PREFIX}.") and token != own:
        other, mine = (text.split(".")[1] for text in (f"{token}.", own))
        again = " of an earlier time" if other == mine else ""
        raise Unauthenticated(
            f"access token: it is for testbed {other!r}{again}, and this is testbed {mine!r}",
            hint='point the client at this one: eval "$(testbed env)"',
        )
