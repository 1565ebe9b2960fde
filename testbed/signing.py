"""What all certificates of ours have in common: keys, names and extensions, as values.

The extensions are those that strict verifiers ask for (RFC 5280; OpenSSL's X509_STRICT, which Python 3.13 turns on).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CA_LIFE = timedelta(days=3650)
_SKEW = timedelta(days=1)
"""A client's clock (a virtual machine's) may be behind ours."""


class Issuer(NamedTuple):
    """A CA."""

    certificate: x509.Certificate
    key: EllipticCurvePrivateKey


def new_key() -> EllipticCurvePrivateKey:
    """A key for a CA or a server: P-256, which all of Google's clients know and which is cheap to make and to use."""
    return generate_private_key(SECP256R1())


def ca_certificate(
    name: str, key: EllipticCurvePrivateKey, now: datetime, constraints: x509.NameConstraints | None = None
) -> x509.Certificate:
    """A CA's certificate, good for ten years from `now` (UTC), for the names that it is constrained to."""
    subject = _subject(name)
    builder = (
        _builder(subject, subject, key, now, CA_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
    )
    if constraints is not None:
        builder = builder.add_extension(constraints, critical=True)
    return builder.sign(key, SHA256())


def server_certificate(
    name: str,
    key: EllipticCurvePrivateKey,
    issuer: Issuer,
    names: x509.SubjectAlternativeName,
    *,
    now: datetime,
    life: timedelta = CA_LIFE,
) -> x509.Certificate:
    """A server's certificate, for all `names` that it serves; it does not outlive the CA."""
    left = issuer.certificate.not_valid_after_utc - now
    return (
        _builder(_subject(name), issuer.certificate.subject, key, now, min(life, left))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(names, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), critical=False)
        .sign(issuer.key, SHA256())
    )


def _subject(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "testbed"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


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
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
