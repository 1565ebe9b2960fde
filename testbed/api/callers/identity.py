"""Who calls the testbed's API: service accounts by their keys, as at Google; everybody else is the testbed's owner.

A client may send what it likes, or nothing: it is the owner, who may do all.  But a client that says that it is one of
the testbed's service accounts must be it, so that what Google would refuse to an account is refused here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from testbed.api.callers import keyfile, owner_token, tokens
from testbed.api.callers.assertion import Refused, claims_an_account, unverified, verify
from testbed.api.callers.keyfile import TOKEN_URI
from testbed.api.callers.keys import Keys, PublicKey
from testbed.api.callers.tokens import Tokens
from testbed.errors import GoogleText, Unauthenticated
from testbed.json_object import Json

OWNER = "owner@testbed.local"
"""The principal of every caller that does not say it is a service account of the testbed; our choice."""
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
"""The one grant that the token endpoint knows (RFC 7523)."""

_AUDIENCES = (TOKEN_URI, "https://accounts.google.com/o/oauth2/token", "https://www.googleapis.com/oauth2/v4/token")
"""Of assertions for the token endpoint; older clients know it by older addresses."""
_OWN_ENDPOINT = re.compile(r"http://127\.0\.0\.1:[0-9]+/token")
"""The same endpoint at the testbed's own address, as `testbed env` tells it (`testbed.api.clients`)."""
_INVALID = GoogleText(
    "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid"
    " authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project."
)


def _is_token_endpoint(audience: object) -> bool:
    """Whether an assertion is for the token endpoint."""
    return audience in _AUDIENCES or (isinstance(audience, str) and _OWN_ENDPOINT.fullmatch(audience) is not None)


class Identity:
    """The principals of one testbed.  Times are seconds since the epoch."""

    def __init__(self, keys: Keys, own: str = "") -> None:
        """`own` is the token of the testbed's owner; without one, whatever clients send as such is taken."""
        self._keys = keys
        self._own = own
        self._tokens = Tokens(keys)

    def create_key(self, email: str, project: str) -> dict[str, str]:
        """A new key of a service account, as the content of its key file; the testbed keeps the public half only.

        Takes a tenth of a second or more.

        Raises:
            Unavailable: if it cannot be kept.
        """
        content, public = keyfile.make(email, project)
        self._keys.add(public)
        return content

    def keys_of(self, email: str) -> list[PublicKey]:
        """The keys of a service account that are good for something.

        Raises:
            Unavailable: if keys cannot be read.
        """
        return [key for key in self._keys.of(email) if not key.deleted]

    def delete_key(self, key_id: str) -> None:
        """Delete a key: nobody is anybody by it from now on.

        Raises:
            NotFound: there is none of this id.
            Unavailable: if that cannot be kept.
        """
        self._keys.delete(key_id)

    def set_disabled(self, email: str, *, disabled: bool) -> None:
        """Whether a service account can do nothing for the time being, not even by tokens that it has.

        Raises:
            Unavailable: if that cannot be kept.
        """
        self._keys.set_disabled(email, disabled=disabled)

    def exchange(self, form: Mapping[str, str], now: float) -> Json:
        """The token endpoint: the answer to a form that was posted to it, in the shape of OAuth (RFC 6749, 5.2).

        It has `access_token`, or `id_token` if the assertion names a `target_audience`, or `error` and
        `error_description`, which is sent with the status 400.

        Raises:
            Unavailable: if keys cannot be read or a token cannot be kept.
        """
        try:
            return self._granted(form, now)
        except Refused as error:
            return {"error": error.code, "error_description": error.description}

    def principal(self, authorization: str | None, now: float) -> str:
        """Who sent this `Authorization` header: the address of a service account, or `OWNER`.

        A service account is known by an access token that we issued, or by a JWT that it signed itself, which Google's
        clients send when they know the scope or the service they ask (google.aip.dev/auth/4111).

        Raises:
            Unauthenticated: if the caller says that it is a service account, and cannot prove it.
            Unavailable: if keys cannot be read.
        """
        email = self._claimed(authorization, now)
        if self._keys.is_disabled(email):
            raise Unauthenticated(_INVALID)
        return email

    def _claimed(self, authorization: str | None, now: float) -> str:
        scheme, _, token = (authorization or "").strip().partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer":
            return OWNER
        if self._own:
            owner_token.check(token, self._own)
        if tokens.is_access_token(token):
            email = self._tokens.account_of(token, now)
            if email is None:
                raise Unauthenticated(_INVALID)
            return email
        read = unverified(token)
        if read is not None and tokens.is_key(read[0]):
            raise Unauthenticated(_INVALID)  # an ID token says who somebody is, but is no leave to call an API
        return self._self_signed(token, now) if claims_an_account(token, self._keys) else OWNER

    def access_token(self, email: str, now: float) -> Json:
        """A new access token of a service account, in the shape of OAuth (RFC 6749, 5.1).

        Raises:
            Unauthenticated: the account is disabled.
            Unavailable: if it cannot be kept.
        """
        if self._keys.is_disabled(email):
            raise Unauthenticated(_INVALID)
        token = self._tokens.access_token(email, now)
        return {"access_token": token, "expires_in": tokens.LIFE - 1, "token_type": "Bearer"}

    def id_token(self, email: str, audience: str, now: float, about: Mapping[str, Any]) -> str:
        """A JWT by which a service account shows `audience` who it is; it may also say something `about` it.

        Raises:
            Unauthenticated: the account is disabled.
        """
        if self._keys.is_disabled(email):
            raise Unauthenticated(_INVALID)
        return self._tokens.id_token(email, audience, now, about)

    def accepts(self, access_token: str, now: float) -> bool:
        """Whether an access token of ours holds."""
        email = self._tokens.account_of(access_token, now)
        return email is not None and not self._keys.is_disabled(email)

    def public_keys(self) -> Json:
        """What ID tokens are verified with (a JSON Web Key Set)."""
        return self._tokens.public_keys()

    def _granted(self, form: Mapping[str, str], now: float) -> Json:
        grant, assertion = form.get("grant_type"), form.get("assertion")
        if not grant:
            raise Refused("invalid_request", "Required parameter is missing: grant_type")
        if grant != JWT_BEARER:
            raise Refused("unsupported_grant_type", f"Invalid grant_type: {grant}")
        if not assertion:
            raise Refused("invalid_request", "Required parameter is missing: assertion")
        claims = verify(assertion, self._keys, now)
        if not _is_token_endpoint(claims.get("aud")):
            raise Refused("invalid_grant", f"Invalid JWT: Failed audience check. The right audience is {TOKEN_URI}")
        email, audience = str(claims["iss"]), claims.get("target_audience")
        if self._keys.is_disabled(email):
            raise Refused("invalid_grant", "Invalid grant: account not found")
        if claims.get("sub") not in (None, email):  # domain-wide delegation: there is no Workspace domain here
            raise Refused(
                "unauthorized_client",
                "Client is unauthorized to retrieve access tokens using this method, or client not authorized for any"
                " of the scopes requested.",
            )
        if audience and isinstance(audience, str):
            return {"id_token": self.id_token(email, audience, now, {})}
        if not claims.get("scope"):
            raise Refused("invalid_scope", "Invalid OAuth scope or ID token audience provided.")
        return self.access_token(email, now)

    def _self_signed(self, token: str, now: float) -> str:
        try:
            claims = verify(token, self._keys, now)
        except Refused as error:
            raise Unauthenticated(_INVALID) from error
        email = str(claims["iss"])
        if claims.get("sub") not in (None, email) or _is_token_endpoint(claims.get("aud")):
            raise Unauthenticated(_INVALID)  # for another principal, or another endpoint
        return email
