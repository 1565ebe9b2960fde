"""The files of a testbed's CA and server certificate, and the TLS that is served with them.

Each file is written at once or not at all, and is used only if it fits the ones it was made from: the CA's key, the CA,
the server's key, the server's certificate.  So `ensure` makes whole whatever a crash or a user has left, and keeps what
is good: clients that trust the CA go on trusting it.  Keys are their owner's alone (0600) and stay in the folder.
"""

from __future__ import annotations

import fcntl
import os
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from requests.utils import DEFAULT_CA_BUNDLE_PATH

from testbed import signing
from testbed.api.frontdoor import authority

ALPN = ("http/1.1", "h2")
"""In the order of our preference: clients that offer both then take REST; those of gRPC offer h2 only."""
_SYSTEM_BUNDLES = (ssl.get_default_verify_paths().openssl_cafile, "/etc/ssl/certs/ca-certificates.crt")
"""Not what the environment says: SSL_CERT_FILE may name our own bundle already."""


@dataclass(frozen=True)
class Certificates:
    """Where the files of a testbed's control plane are (PEM)."""

    ca: Path
    cert: Path
    key: Path


def ensure(folder: Path, name: str, now: datetime | None = None) -> Certificates:
    """Make the CA and the certificate of the testbed `name`, or what of them is missing, damaged or about to expire.

    `folder` is the testbed's own (0700).  `now` is the time, in UTC, if it is not the clock's.  Safe in several
    processes at once.

    Raises:
        OSError: if the folder cannot be written.
    """
    now = now or datetime.now(UTC)
    files = Certificates(folder / "ca.pem", folder / "server.pem", folder / "server.key")
    with _alone(folder):
        ca_key = _key(folder / "ca.key")
        ca = _read_certificate(files.ca)
        if ca is None or not authority.is_good_ca(ca, ca_key, now):
            ca = authority.ca_certificate(name, ca_key, now)
            write(files.ca, ca.public_bytes(Encoding.PEM), mode=0o644)
        key = _key(files.key)
        leaf = _read_certificate(files.cert)
        if leaf is None or not authority.is_good_leaf(leaf, key, ca, now):
            leaf = authority.leaf_certificate(key, ca, ca_key, now)
            write(files.cert, leaf.public_bytes(Encoding.PEM), mode=0o644)
    return files


def server_context(certificates: Certificates) -> ssl.SSLContext:
    """The TLS of the control plane's door."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificates.cert, certificates.key)
    context.set_alpn_protocols(list(ALPN))
    return context


def bundle(certificates: Certificates, folder: Path) -> Path:
    """Write `bundle.pem`, the system's CAs and ours, and `ca.pem`, ours alone, for clients; returns the bundle's path.

    A client is told of CAs by environment variables that name one file, and goes on visiting other sites with it.
    `folder` is one that clients can enter; both files can be read by all (0644).
    """
    ours = certificates.ca.read_bytes()
    system = next((path for path in map(Path, _SYSTEM_BUNDLES) if path.is_file()), Path(DEFAULT_CA_BUNDLE_PATH))
    write(folder / "ca.pem", ours, mode=0o644)
    write(folder / "bundle.pem", system.read_bytes().rstrip() + b"\n" + ours, mode=0o644)
    return folder / "bundle.pem"


def write(file: Path, content: bytes, *, mode: int) -> None:
    """Write a file, or replace it: at every moment, and after a crash, it is the old or the new one, and whole."""
    descriptor, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)  # 0600 until the mode is set
    try:
        with os.fdopen(descriptor, "wb") as output:
            output.write(content)
            output.flush()
            os.fchmod(output.fileno(), mode)
            os.fsync(output.fileno())
        Path(name).replace(file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process at a time makes certificates in a folder."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _key(file: Path) -> EllipticCurvePrivateKey:
    try:
        key = load_pem_private_key(file.read_bytes(), password=None)
    except (FileNotFoundError, ValueError):
        key = None
    if not isinstance(key, EllipticCurvePrivateKey):
        key = signing.new_key()
        write(file, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), mode=0o600)
    return key


def _read_certificate(file: Path) -> x509.Certificate | None:
    try:
        return x509.load_pem_x509_certificate(file.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
