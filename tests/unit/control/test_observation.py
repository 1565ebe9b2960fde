"""What can be seen of nodes: the log, and which tunnels IKE has established."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

from testbed.control.watch.observation import Containers
from testbed.errors import NotFound
from testbed.nodes.docker import DockerNodes

SAS = b"""\
t1: #2, ESTABLISHED, IKEv2, c8c9a06cd2da5b68_i 7c033d2472fa2e29_r*
  local  '198.51.100.22' @ 198.51.100.22[4500]
  t1: #2, reqid 1, INSTALLED, TUNNEL-in-UDP, ESP:AES_GCM_16-128
t2: #1, CONNECTING, IKEv2, c8c9a06cd2da5b69_i* 0000000000000000_r
"""


class Fake:
    def capture(self, node: str, _: Sequence[str], *, timeout: float) -> tuple[int, bytes]:
        assert timeout > 0
        if node == "none":
            raise NotFound("none")
        return (0, SAS) if node == "gw" else (1, b"connecting failed")

    def logs(self, node: str) -> Iterator[bytes]:
        if node == "none":
            raise NotFound("none")
        yield from (b"one\n", b"two\n")


NODES = Containers(cast(DockerNodes, Fake()))


def test_only_tunnels_that_ike_has_established_are() -> None:
    assert NODES.established("gw") == frozenset({"t1"})


def test_what_cannot_be_seen_is_not_said_to_be_down() -> None:
    assert NODES.established("none") is None
    assert NODES.established("broken") is None
    assert NODES.log("none") is None


def test_a_log_is_what_the_container_has_written() -> None:
    assert NODES.log("vm") == "one\ntwo\n"
