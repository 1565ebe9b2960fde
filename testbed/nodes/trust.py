"""The testbed's CA in the trust store of a node: clients inside believe its answers in the name of Google's APIs.

Programs look for CAs in different places.  The image's own bundle gets the testbed's CA added to it, where Debian and
most others have it, and variables that programs know name the file; what the node's own environment says goes before.
"""

from __future__ import annotations

import io
import tarfile
from types import MappingProxyType

BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
CA = "/etc/ssl/certs/testbed-ca.pem"
ENVIRONMENT = MappingProxyType(
    {
        "SSL_CERT_FILE": BUNDLE,  # OpenSSL, and what is written in Go or Rust
        "REQUESTS_CA_BUNDLE": BUNDLE,  # Python's requests, which has a bundle of its own
        "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": BUNDLE,
        "NODE_EXTRA_CA_CERTS": CA,
    }
)


def files(bundle: bytes, ca: bytes) -> dict[str, bytes]:
    """The files, path to content; `bundle` is that of the image, empty if it has none."""
    return {BUNDLE: (bundle.rstrip() + b"\n" if bundle else b"") + ca, CA: ca}


def content(archive: bytes) -> bytes:
    """The content of the one file in an archive; empty if it is a link or there is none."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        found = [tar.extractfile(member) for member in tar if member.isfile()]
        return found[0].read() if found and found[0] else b""
