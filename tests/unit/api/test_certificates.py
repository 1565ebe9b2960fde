from __future__ import annotations

import os
import socket
import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread

import pytest
from cryptography import x509

from testbed.api.frontdoor import authority, certificates
from testbed.api.frontdoor.certificates import Certificates, bundle, ensure, server_context

NOW = datetime.now(UTC)
SERVED = [
    "vpcaccess.googleapis.com",
    "us-central1-run.googleapis.com",
    "googleapis.com",
    "hello-abc.run.app",
    "hello-abc-uc.a.run.app",
    "hello-1.us-central1.run.app",
    "us-central1-demo.cloudfunctions.net",
    "demo.appspot.com",
    "localhost",
    "127.0.0.1",
    "::1",
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return ensure(tmp_path_factory.mktemp("state"), "bed")


def shake_hands(certificates: Certificates, ca: Path, name: str, alpn: list[str] | None = None) -> str | None:
    """What a strict client that trusts `ca` makes of the server; returns the protocol agreed on."""
    client = ssl.create_default_context(cafile=str(ca))
    client.verify_flags |= ssl.VerifyFlags.VERIFY_X509_STRICT | ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN  # as 3.13
    if alpn:
        client.set_alpn_protocols(alpn)
    ours, theirs = socket.socketpair()

    def serve() -> None:
        try:
            with server_context(certificates).wrap_socket(theirs, server_side=True) as stream:
                stream.recv(1)
        except (ssl.SSLError, OSError):
            theirs.close()  # the client's side of it is what the test reads

    server = Thread(target=serve)
    server.start()
    try:
        with ours, client.wrap_socket(ours, server_hostname=name) as stream:
            return stream.selected_alpn_protocol()
    finally:
        server.join()


@pytest.mark.parametrize("name", SERVED)
def test_a_strict_client_accepts_every_name_that_is_served(made: Certificates, name: str) -> None:
    shake_hands(made, made.ca, name)


@pytest.mark.parametrize("name", ["example.com", "a.b.googleapis.com", "127.0.0.2"])
def test_no_other_name_is_served(made: Certificates, name: str) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
        shake_hands(made, made.ca, name)


def test_the_ca_is_trusted_for_no_other_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authority, "_NAMES", x509.SubjectAlternativeName([x509.DNSName("example.com")]))
    made = ensure(tmp_path, "bed")
    with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree violation"):
        shake_hands(made, made.ca, "example.com")


@pytest.mark.parametrize(
    ("offered", "agreed"), [(["h2"], "h2"), (["h2", "http/1.1"], "http/1.1"), (None, None), (["spdy/3"], None)]
)
def test_who_offers_both_gets_http_1_1(made: Certificates, offered: list[str] | None, agreed: str | None) -> None:
    assert shake_hands(made, made.ca, "localhost", offered) == agreed


def test_without_our_ca_nobody_trusts_the_server(made: Certificates, tmp_path: Path) -> None:
    other = ensure(tmp_path, "other")
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(made, other.ca, "localhost")


def test_keys_are_their_owner_s_alone_and_the_ca_is_named(made: Certificates) -> None:
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in made.ca.parent.iterdir()}
    assert modes == {"ca.key": 0o600, "server.key": 0o600, "ca.pem": 0o644, "server.pem": 0o644}
    assert "CN=testbed CA (bed)" in x509.load_pem_x509_certificate(made.ca.read_bytes()).subject.rfc4514_string()


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_second_time_changes_nothing(tmp_path: Path) -> None:
    ensure(tmp_path, "bed")
    before = contents(tmp_path)
    ensure(tmp_path, "bed")
    assert contents(tmp_path) == before


@pytest.mark.parametrize("lost", ["ca.key", "ca.pem", "server.key", "server.pem"])
@pytest.mark.parametrize("content", [None, b"", b"garbage\n"])
def test_whatever_is_lost_or_damaged_is_made_again(tmp_path: Path, lost: str, content: bytes | None) -> None:
    ensure(tmp_path, "bed")
    (tmp_path / lost).unlink()
    if content is not None:
        (tmp_path / lost).write_bytes(content)
    made = ensure(tmp_path, "bed")
    shake_hands(made, made.ca, "localhost")


def test_a_server_whose_certificate_expires_stays_trusted(tmp_path: Path) -> None:
    ensure(tmp_path, "bed", NOW - timedelta(days=800))
    before = contents(tmp_path)
    made = ensure(tmp_path, "bed", NOW)
    changed = {name for name, content in contents(tmp_path).items() if content != before[name]}
    assert changed == {"server.pem"}
    shake_hands(made, made.ca, "localhost")


def test_a_ca_that_expires_is_renewed_with_its_key(tmp_path: Path) -> None:
    ensure(tmp_path, "bed", NOW - timedelta(days=3640))
    old = contents(tmp_path)
    made = ensure(tmp_path, "bed", NOW)
    assert {name for name, content in contents(tmp_path).items() if content != old[name]} == {"ca.pem", "server.pem"}
    shake_hands(made, made.ca, "localhost")


def test_the_server_s_certificate_does_not_outlive_the_ca(tmp_path: Path) -> None:
    ensure(tmp_path, "bed", NOW - timedelta(days=3600))
    ensure(tmp_path, "bed", NOW)
    ca, leaf = (x509.load_pem_x509_certificate((tmp_path / file).read_bytes()) for file in ("ca.pem", "server.pem"))
    assert leaf.not_valid_after_utc <= ca.not_valid_after_utc


@pytest.mark.parametrize("written", range(4))
def test_a_crash_leaves_nothing_half_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: int) -> None:
    """Each file is flushed once: the crash comes at the first one, the second one ..."""
    flush = iter([os.fsync] * written)

    def crash(descriptor: int) -> None:
        next(flush)(descriptor)

    monkeypatch.setattr(os, "fsync", crash)
    with pytest.raises(StopIteration):
        ensure(tmp_path, "bed")
    monkeypatch.undo()
    left = contents(tmp_path)
    assert len(left) == written
    made = ensure(tmp_path, "bed")
    assert {name: contents(tmp_path)[name] for name in left} == left
    shake_hands(made, made.ca, "localhost")


def test_two_at_once_agree(tmp_path: Path) -> None:
    both = [Thread(target=ensure, args=(tmp_path, "bed")) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    before = contents(tmp_path)
    assert len(before) == 4
    made = ensure(tmp_path, "bed")
    assert contents(tmp_path) == before
    shake_hands(made, made.ca, "localhost")


def test_the_bundle_has_the_system_s_cas_and_ours(
    made: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = ensure(tmp_path, "system").ca
    monkeypatch.setattr(certificates, "_SYSTEM_BUNDLES", ("/nowhere", str(system)))
    public = tmp_path / "public"
    public.mkdir()
    file = bundle(made, public)
    assert [path.read_bytes() for path in (file, public / "ca.pem")] == [
        system.read_bytes() + made.ca.read_bytes(),
        made.ca.read_bytes(),
    ]
    assert {stat.S_IMODE(path.stat().st_mode) for path in public.iterdir()} == {0o644}
    shake_hands(made, file, "localhost")


def test_without_a_system_bundle_the_one_of_requests_is_taken(
    made: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certificates, "_SYSTEM_BUNDLES", ("/nowhere",))
    text = bundle(made, tmp_path).read_text()
    assert text.count("BEGIN CERTIFICATE") > 50
    shake_hands(made, tmp_path / "bundle.pem", "localhost")
