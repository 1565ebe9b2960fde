"""The certificates of a testbed's control plane, as values: a CA of its own, and what it signs for the names it serves.

The extensions are those that strict verifiers ask for (RFC 5280; OpenSSL's X509_STRICT, which Python 3.13 turns on).
The CA is constrained to the names that a testbed may serve: who trusts it trusts it for no other name.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from testbed.api.hosts import GOOGLE, WORKLOADS
from testbed.model.places import REGIONS

CA_LIFE = timedelta(days=3650)
LEAF_LIFE = timedelta(days=825)
"""Apple's verifiers accept no longer one, even of a private CA."""
MARGIN = timedelta(days=30)
"""A certificate with less left than this is renewed."""
_SKEW = timedelta(days=1)
"""A client's clock (a virtual machine's) may be behind ours."""

_NAMES = x509.SubjectAlternativeName([
    *(x509.DNSName(name) for name in (GOOGLE, "localhost")),
    *(x509.DNSName(f"*.{domain}") for domain in (GOOGLE, *WORKLOADS)),
    *(x509.DNSName(f"*.{place}.run.app") for place in ("a", *REGIONS)),
    *(x509.IPAddress(ip_address(address)) for address in ("127.0.0.1", "::1")),
])  # fmt: skip
_CONSTRAINTS = x509.NameConstraints([x509.DNSName(name) for name in (GOOGLE, *WORKLOADS, "localhost")], None)
"""Of names only: BoringSSL, and so every gRPC client, refuses a CA that is constrained to addresses."""


def new_key() -> EllipticCurvePrivateKey:
    """A key for a CA or a server: P-256, which all of Google's clients know and which is cheap to make and to use."""
    return generate_private_key(SECP256R1())


def ca_certificate(name: str, key: EllipticCurvePrivateKey, now: datetime) -> x509.Certificate:
    """The certificate of the CA of the testbed `name`, good for ten years from `now`."""
    subject = _subject(f"testbed CA ({name})")
    return (
        _builder(subject, subject, key, now, CA_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(_CONSTRAINTS, critical=True)
        .sign(key, SHA256())
    )


def leaf_certificate(
    key: EllipticCurvePrivateKey, ca: x509.Certificate, ca_key: EllipticCurvePrivateKey, now: datetime
) -> x509.Certificate:
    """The server's certificate, for all names that it serves; it does not outlive the CA."""
    life = min(LEAF_LIFE, ca.not_valid_after_utc - now)
    return (
        _builder(_subject("googleapis.com"), ca.subject, key, now, life)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(_NAMES, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, SHA256())
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


def _subject(common_name: str) -> x509.Name:
    return x509.Name([
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, "testbed"),
        x509.NameAttribute(NameOID.COMMON_NAME, common_name),
    ])  # fmt: skip


def _builder(
    subject: x509.Name, issuer: x509.Name, key: EllipticCurvePrivateKey, now: datetime, life: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates, key_cert_sign=signs_certificates, crl_sign=signs_certificates,
        content_commitment=False, key_encipherment=False, data_encipherment=False, key_agreement=False,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip
