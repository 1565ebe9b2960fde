"""The certificate in which a service account's public key is handed out (`TYPE_X509_PEM_FILE`)."""

from __future__ import annotations

from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import NameOID

from testbed.errors import Internal

END = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
"""Keys of users do not expire, say Google's."""


def self_signed(private_pem: str, subject: str) -> str:
    """A certificate of a key, signed by itself; `subject` is the number of its account."""
    key = load_pem_private_key(private_pem.encode(), None)
    if not isinstance(key, RSAPrivateKey):
        raise Internal("a service account's key is RSA")
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.now(UTC))
        .not_valid_after(END)
        .sign(key, SHA256())
    )
    return made.public_bytes(Encoding.PEM).decode()
