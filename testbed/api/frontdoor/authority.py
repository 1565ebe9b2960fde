"""The certificates of a testbed's control plane, as values: a CA of its own, and what it signs for the names it serves.

The CA is constrained to the names that a testbed may serve: who trusts it trusts it for no other name.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

from testbed import signing
from testbed.api.frontdoor.hosts import GOOGLE, WORKLOADS
from testbed.model.core.places import REGIONS

LEAF_LIFE = timedelta(days=825)
"""Apple's verifiers accept no longer one, even of a private CA."""
MARGIN = timedelta(days=30)
"""A certificate with less left than this is renewed."""

_NAMES = x509.SubjectAlternativeName(
    [
        *(x509.DNSName(name) for name in (GOOGLE, "localhost")),
        *(x509.DNSName(f"*.{domain}") for domain in (GOOGLE, *WORKLOADS)),
        *(x509.DNSName(f"*.{place}.run.app") for place in ("a", *REGIONS)),
        *(x509.IPAddress(ip_address(address)) for address in ("127.0.0.1", "::1")),
    ]
)
_CONSTRAINTS = x509.NameConstraints([x509.DNSName(name) for name in (GOOGLE, *WORKLOADS, "localhost")], None)
"""Of names only: BoringSSL, and so every gRPC client, refuses a CA that is constrained to addresses."""


def ca_certificate(name: str, key: EllipticCurvePrivateKey, now: datetime) -> x509.Certificate:
    """The certificate of the CA of the testbed `name`, good for ten years from `now`."""
    return signing.ca_certificate(f"testbed CA ({name})", key, now, _CONSTRAINTS)


def leaf_certificate(
    key: EllipticCurvePrivateKey, ca: x509.Certificate, ca_key: EllipticCurvePrivateKey, now: datetime
) -> x509.Certificate:
    """The server's certificate, for all names that it serves; it does not outlive the CA."""
    return signing.server_certificate(
        "googleapis.com", key, signing.Issuer(ca, ca_key), _NAMES, now=now, life=LEAF_LIFE
    )


def is_good_ca(certificate: x509.Certificate, key: EllipticCurvePrivateKey, now: datetime) -> bool:
    """Whether this is what `ca_certificate` makes of the key, with time left."""
    extensions = certificate.extensions
    return (
        certificate.public_key() == key.public_key()
        and _has_time_left(certificate, now)
        and _CONSTRAINTS in [extension.value for extension in extensions]
    )


def is_good_leaf(
    certificate: x509.Certificate, key: EllipticCurvePrivateKey, ca: x509.Certificate, now: datetime
) -> bool:
    """Whether this is what `leaf_certificate` makes of the key and the CA, with time left."""
    try:
        certificate.verify_directly_issued_by(ca)
    except (InvalidSignature, ValueError):  # another key, another name
        return False
    return (
        certificate.public_key() == key.public_key()
        and _has_time_left(certificate, now)
        and _NAMES in [extension.value for extension in certificate.extensions]
    )


def _has_time_left(certificate: x509.Certificate, now: datetime) -> bool:
    return certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc - MARGIN
