"""Service-account keys, in the file that Google's clients read (`GOOGLE_APPLICATION_CREDENTIALS`)."""

from __future__ import annotations

import hashlib
import secrets
from urllib.parse import quote

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from testbed.api.callers.keys import PublicKey

TOKEN_URI = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address


def new_key() -> RSAPrivateKey:
    """A key as Google's are, RSA of 2048 bits; that takes a tenth of a second or more."""
    return generate_private_key(public_exponent=65537, key_size=2048)


def private_pem(key: RSAPrivateKey) -> str:
    """The key, with its secret, in PKCS 8."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def public_pem(key: RSAPrivateKey) -> str:
    """The key's public half."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def unique_id(email: str) -> str:
    """The number of an account: 21 digits that begin with 1, as Google's do; always the same for an address."""
    return f"1{int.from_bytes(hashlib.sha256(email.encode()).digest()) % 10**20:020}"


def make(email: str, project: str) -> tuple[dict[str, str], PublicKey]:
    """A new key of an account: the content of its key file, the only place of its secret, and what is to be kept."""
    key = new_key()
    public = PublicKey(secrets.token_hex(20), email, public_pem(key))
    return {
        "type": "service_account",
        "project_id": project,
        "private_key_id": public.id,
        "private_key": private_pem(key),
        "client_email": email,
        "client_id": unique_id(email),
        "auth_uri": "https://accounts.google.com/o/oauth2/auth",
        "token_uri": TOKEN_URI,
        "auth_provider_x509_cert_url": "https://www.googleapis.com/oauth2/v1/certs",
        "client_x509_cert_url": f"https://www.googleapis.com/robot/v1/metadata/x509/{quote(email, safe='')}",
        "universe_domain": "googleapis.com",
    }, public
