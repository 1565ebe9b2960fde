from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.errors import Internal, Unavailable
from testbed.kernel import namespace, netlink, rtnetlink
from testbed.kernel.change import KernelChange, KernelStep, NetlinkRequest, Verb
from testbed.kernel.command import run
from testbed.kernel.dump import Message
from tests.kernel.spaces import ip, spaces

STABLE = {f"10.0.{number // 256}.{number % 256}" for number in range(2, 900)}


@pytest.fixture
def space() -> Iterator[str]:
    with spaces("a") as paths:
        yield paths["a"]


def address(verb: Verb, text: str) -> KernelStep:
    return KernelStep(
        NetlinkRequest("addr", verb, {"index": "lo", "address": text}), KernelChange("a", verb, "address", text)
    )


def addresses(path: str) -> list[str]:
    return [each.get("local") for each in namespace.inside(path, netlink.read).addresses]


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_list_that_changes_while_it_is_read_is_complete(space: str, monkeypatch: pytest.MonkeyPatch) -> None:
    many = "".join(f"address add {text}/32 dev lo\n" for text in ("10.0.0.1", *sorted(STABLE)))
    namespace.inside(space, lambda: run(["ip", "-batch", "-"], many))
    disturbed: list[str] = []

    def disturb(flags: list[int], answer: Message) -> None:
        if answer.get("local") == "10.0.0.1":  # the first of its list, which comes in several parts
            disturbed.append(run(["ip", "address", "delete", "10.0.0.1/32", "dev", "lo"]))
        flags.append(answer["header"]["flags"])

    monkeypatch.setattr(rtnetlink, "_note", disturb)

    found = addresses(space)

    assert disturbed
    assert sorted(found) == sorted(STABLE)


def test_a_list_that_never_stops_changing_is_given_up(space: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("testbed.kernel.rtnetlink.NLM_F_DUMP_INTR", 0x2)  # NLM_F_MULTI, which every list has

    with pytest.raises(Unavailable, match="it changed 20 times while it was read"):
        addresses(space)


def test_a_deletion_of_what_is_gone_is_no_error_and_anything_else_is(space: str) -> None:
    namespace.inside(space, lambda: netlink.perform([address("delete", "10.0.0.1/32")]))

    with pytest.raises(Internal, match=r"a: add address 10\.0\.0\.1/32: the kernel refused it: .*already"):
        namespace.inside(space, lambda: netlink.perform([address("add", "10.0.0.1/32")] * 2))
    assert addresses(space) == ["10.0.0.1"]


def test_sockets_are_closed_whatever_happens(space: str) -> None:
    refused = [address("add", "10.0.0.1/32")] * 2
    addresses(space)
    before = open_files()

    for _ in range(10):
        addresses(space)
        with pytest.raises(Internal):
            namespace.inside(space, lambda: netlink.perform(refused))

    assert open_files() == before


def test_a_veth_leaves_no_descriptor_of_the_other_namespace() -> None:
    with spaces("a", "b") as paths:

        def make(name: str) -> None:
            values = {"ifname": name, "kind": "veth", "peer": {"ifname": name, "net_ns_fd": paths["b"]}}
            step = KernelStep(NetlinkRequest("link", "add", values), KernelChange("a", "add", "veth", name))
            namespace.inside(paths["a"], lambda: netlink.perform([step]))

        make("x")
        before = open_files()
        make("y")

        assert open_files() == before
        assert [link["ifname"] for link in ip(paths["b"], "link show")] == ["lo", "x", "y"]
