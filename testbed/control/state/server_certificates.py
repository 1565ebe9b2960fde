"""The CAs and server certificates of Redis instances with in-transit encryption: a table of the store.

Each instance has a CA of its own, for as long as it is there: clients trust that.  Its server's certificate is made
anew when its address changes.  The keys are in the store, which nobody else can read, and in the instance's node.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from datetime import UTC, datetime
from ipaddress import IPv4Address

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from testbed import signing
from testbed.fabric.allocation.running import ServerCertificate
from testbed.model.core.resource import last

SCHEMA = """
    CREATE TABLE IF NOT EXISTS server_certificates (
        instance TEXT PRIMARY KEY, address TEXT NOT NULL, ca_key TEXT NOT NULL, ca TEXT NOT NULL, key TEXT NOT NULL,
        certificate TEXT NOT NULL);
"""


class ServerCertificates:
    """The table."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def all(self) -> dict[str, ServerCertificate]:
        """What each instance's server needs, by the instance's resource name."""
        rows = self._db.execute("SELECT instance, ca, certificate, key FROM server_certificates")
        return {instance: ServerCertificate(*texts) for instance, *texts in rows}

    def ensure(self, addresses: Mapping[str, str], now: datetime | None = None) -> None:
        """Make what is missing for instances with these addresses; what others have had is forgotten."""
        rows = self._db.execute("SELECT instance, address, ca_key, ca FROM server_certificates")
        known = {instance: row for instance, *row in rows}
        self._db.executemany(
            "DELETE FROM server_certificates WHERE instance = ?", [(name,) for name in known.keys() - addresses.keys()]
        )
        for instance, address in addresses.items():
            there, *ca = known.get(instance, ("",))
            if there != address:
                row = instance, address, *_made(instance, address, ca, now or datetime.now(UTC))
                self._db.execute("INSERT OR REPLACE INTO server_certificates VALUES (?, ?, ?, ?, ?, ?)", row)


def _made(instance: str, address: str, ca: list[str], now: datetime) -> tuple[str, str, str, str]:
    """The CA's key and certificate, as they were or new ones, the server's key and its certificate."""
    if not ca:
        key = signing.new_key()
        ca = [_text(key), _pem(signing.ca_certificate(f"Redis CA ({last(instance)})", key, now))]
    ca_key = load_pem_private_key(ca[0].encode(), password=None)
    if not isinstance(ca_key, EllipticCurvePrivateKey):
        raise TypeError(f"the key of the CA of {instance} is a {type(ca_key).__name__}")
    server, names = signing.new_key(), x509.SubjectAlternativeName([x509.IPAddress(IPv4Address(address))])
    issuer = signing.Issuer(x509.load_pem_x509_certificate(ca[1].encode()), ca_key)
    certificate = signing.server_certificate(last(instance), server, issuer, names, now=now)
    return ca[0], ca[1], _text(server), _pem(certificate)


def _text(key: EllipticCurvePrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()
