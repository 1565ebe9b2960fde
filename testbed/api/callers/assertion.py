"""JSON Web Tokens that a service account has signed with a key of its own: for the token endpoint, or in place of one.

Google's rules (developers.google.com/identity/protocols/oauth2/service-account): RS256, `iss` is the account, `exp` is
at most an hour after `iat`.  The texts are those of Google's token endpoint.
"""

from __future__ import annotations

import jwt

from testbed.api.callers.keys import Keys, PublicKey
from testbed.json_object import Json

LIFE = 3600
"""Seconds that an assertion holds, at most."""
LEEWAY = 60
"""Seconds that a client's clock may be ahead of ours, or behind; our choice."""
_SIGNATURE_ONLY: jwt.types.Options = {
    "verify_exp": False,
    "verify_iat": False,
    "verify_nbf": False,
    "verify_aud": False,
    "verify_sub": False,
    "verify_jti": False,
}


class Refused(Exception):  # noqa: N818 - as testbed.errors
    """What the token endpoint says no with (RFC 6749, section 5.2): a code and a description."""

    def __init__(self, code: str, description: str) -> None:
        super().__init__(description)
        self.code = code
        self.description = description


def unverified(token: str) -> tuple[str | None, Json] | None:
    """The key's id and the claims that a token says it has, or None if it is no JWT."""
    try:
        parts = jwt.decode_complete(token, options={"verify_signature": False})
    except (jwt.InvalidTokenError, RecursionError):  # the latter by deeply nested JSON
        return None
    key_id = parts["header"].get("kid")
    return (key_id if isinstance(key_id, str) else None), parts["payload"]


def claims_an_account(token: str, keys: Keys) -> bool:
    """Whether a token says that it is of a service account that has, or had, a key."""
    read = unverified(token)
    if read is None:
        return False
    key_id, claims = read
    return bool((key_id and keys.get(key_id)) or keys.of(str(claims.get("iss"))))


def verify(token: str, keys: Keys, now: float) -> Json:
    """The claims of an assertion that holds at `now` (seconds since the epoch); `iss` is the account.

    Raises:
        Refused: if it does not hold.
    """
    read = unverified(token)
    if read is None:
        raise Refused("invalid_grant", "Bad Request")
    key_id, claims = read
    known = keys.of(str(claims.get("iss")))
    if not known:
        raise Refused("invalid_grant", "Invalid grant: account not found")
    # Some clients leave the key's id out.
    if not any(_signed(token, key) for key in known if not key.deleted and key_id in {None, key.id}):
        raise Refused("invalid_grant", "Invalid JWT Signature.")
    if not _timely(claims.get("iat"), claims.get("exp"), now):
        raise Refused(
            "invalid_grant",
            "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe."
            " Check your iat and exp values in the JWT claim.",
        )
    return claims


def _signed(token: str, key: PublicKey) -> bool:
    try:
        jwt.decode(token, key.pem, algorithms=["RS256"], options=_SIGNATURE_ONLY)
    except jwt.InvalidTokenError:
        return False
    return True


def _timely(issued: object, expires: object, now: float) -> bool:
    if not isinstance(issued, int | float) or not isinstance(expires, int | float):
        return False
    # No "not": what JSON calls NaN is less than nothing, and more than nothing neither.
    return issued <= now + LEEWAY and now < expires + LEEWAY and expires <= issued + LIFE
