"""The CAs that a node trusts."""

from __future__ import annotations

import io
import tarfile

from testbed.fabric.plan import Node
from testbed.nodes import trust
from testbed.nodes.container import creation


def test_the_testbeds_ca_is_added_to_the_images_own() -> None:
    made = trust.files(b"theirs\n\n", b"ours\n")
    assert made == {trust.BUNDLE: b"theirs\nours\n", trust.CA: b"ours\n"}


def test_an_image_may_have_none() -> None:
    assert trust.files(b"", b"ours\n")[trust.BUNDLE] == b"ours\n"


def test_a_bundle_is_read_as_docker_hands_it_out() -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        member = tarfile.TarInfo("ca-certificates.crt")
        member.size = 6
        tar.addfile(member, io.BytesIO(b"theirs"))
    assert trust.content(packed.getvalue()) == b"theirs"


def test_a_link_is_no_bundle() -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        member = tarfile.TarInfo("ca-certificates.crt")
        member.type, member.linkname = tarfile.SYMTYPE, "elsewhere"
        tar.addfile(member)
    assert trust.content(packed.getvalue()) == b""


def test_a_node_may_say_otherwise() -> None:
    node = Node("n", "vm", "image", environment={"SSL_CERT_FILE": "/mine.pem"})
    environment = creation("t", "id", node, "image", "spec")["environment"]
    assert environment == {**trust.ENVIRONMENT, "SSL_CERT_FILE": "/mine.pem"}
