"""The tokens that a testbed issues: access tokens, of which it keeps digests, and ID tokens that it signs."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from jwt.algorithms import RSAAlgorithm

from testbed.api.callers.keyfile import new_key, private_pem, public_pem, unique_id
from testbed.api.callers.keys import Keys
from testbed.errors import Internal
from testbed.json_object import Json

ISSUER = "https://accounts.google.com"
"""Of ID tokens (developers.google.com/identity/openid-connect/openid-connect)."""
LIFE = 3600
"""Seconds that a token holds."""
_ACCESS = "ya29.testbed-"
"""How our access tokens begin.  Google's begin with the first five characters, and none with all of them."""
_KEY = "testbed-"
"""How the id of our own key begins; those of Google are hexadecimal."""


class Tokens:
    """The tokens of one testbed.  Times are seconds since the epoch."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    def access_token(self, email: str, now: float) -> str:
        """A new access token of an account.

        Raises:
            Unavailable: if it cannot be kept.
        """
        token = _ACCESS + secrets.token_urlsafe(32)
        self._keys.add_token(_digest(token), email, now + LIFE, now=now)
        return token

    def account_of(self, access_token: str, now: float) -> str | None:
        """The account that an access token was issued to, or None if it has expired, or we have never issued it."""
        found = self._keys.token(_digest(access_token))
        return found[0] if found and now < found[1] else None

    def id_token(self, email: str, audience: str, now: float, about: Mapping[str, Any]) -> str:
        """A JWT by which an account shows `audience` who it is; it makes further claims `about` it."""
        claims = {
            "iss": ISSUER,
            "aud": audience,
            "azp": unique_id(email),
            "sub": unique_id(email),
            "email": email,
            "email_verified": True,
            "iat": int(now),
            "exp": int(now) + LIFE,
            **about,
        }
        return jwt.encode(claims, self._key, algorithm="RS256", headers={"kid": self._key_id})

    def public_keys(self) -> Json:
        """What ID tokens are verified with, as Google publishes it at https://www.googleapis.com/oauth2/v3/certs."""
        public = RSAAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        return {"keys": [public | {"kid": self._key_id, "alg": "RS256", "use": "sig"}]}

    @cached_property
    def _key(self) -> RSAPrivateKey:
        pem = self._keys.signing_key(lambda: private_pem(new_key()))
        key = load_pem_private_key(pem.encode(), password=None)
        if not isinstance(key, RSAPrivateKey):
            raise Internal("key of the testbed: it is not an RSA key")
        return key

    @cached_property
    def _key_id(self) -> str:
        return _KEY + hashlib.sha256(public_pem(self._key).encode()).hexdigest()[:32]


def is_access_token(token: str) -> bool:
    """Whether a token says that it is an access token of a testbed."""
    return token.startswith(_ACCESS)


def is_key(key_id: str | None) -> bool:
    """Whether a key's id says that it is a testbed's own."""
    return key_id is not None and key_id.startswith(_KEY)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
