"""The Docker node driver: what a node may do, and that commands pass through it unchanged."""

from __future__ import annotations

import json
import os
import pty
import termios
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.errors import AlreadyExists, DeadlineExceeded, FailedPrecondition, NotFound
from testbed.fabric.plan import Node
from testbed.nodes.execute import passed_through
from tests.e2e.nodes import Testbed, testbed
from tests.waiting import PATIENCE, eventually

IDLE = Node(name="idle", kind="vm", image="testbed/runtime", command=("sleep", "infinity"))
DATA = os.urandom(1 << 20)


@pytest.fixture(scope="module")
def shared() -> Iterator[Testbed]:
    """A testbed with one node that does nothing."""
    with testbed() as made:
        made.start(IDLE)
        yield made


@pytest.fixture
def bed() -> Iterator[Testbed]:
    with testbed() as made:
        yield made


# -- privileges -------------------------------------------------------------------------------------------------------


def test_user_code_has_no_privilege(shared: Testbed) -> None:
    status = dict(line.split(":\t", 1) for line in shared.run("idle", "cat", "/proc/1/status").splitlines())
    assert {status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"
    assert status["Uid"].split() == ["1000"] * 4


def test_a_node_has_no_network_but_its_loopback_device(shared: Testbed) -> None:
    assert shared.run("idle", "ls", "/sys/class/net").split() == ["lo"]


def test_ping_and_low_ports_need_no_privilege(shared: Testbed) -> None:
    assert "1 received" in shared.run("idle", "ping", "-c1", "127.0.0.1")
    shared.run("idle", "python3", "-c", "import socket; socket.create_server(('', 80))")


def test_the_engine_is_told_the_limits(bed: Testbed) -> None:
    memory = 64 << 20
    bed.start(Node(name="small", kind="vm", image="testbed/base", command=("sleep", "infinity"), memory=memory))
    limits = bed.nodes.container("small").attrs["HostConfig"]
    assert (limits["Memory"], limits["MemorySwap"], limits["PidsLimit"]) == (memory, memory, 512)
    assert limits["CpuShares"] == 1024
    assert not limits["Binds"]


# -- what a node gets -------------------------------------------------------------------------------------------------


_SOCKETS = """
import ctypes, errno, socket
libc = ctypes.CDLL(None, use_errno=True)
def opened(number, *arguments):
    return libc.syscall(ctypes.c_long(number), *map(ctypes.c_long, arguments)) >= 0
numbers = {"x86_64": (41, 425), "aarch64": (198, 425)}[__import__("platform").machine()]
for family in (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK):
    assert opened(numbers[0], family, socket.SOCK_DGRAM, 0), family
for family in (40, 40 | 1 << 32, 38, 31):
    assert not opened(numbers[0], family, socket.SOCK_STREAM, 0), family
    assert ctypes.get_errno() == errno.EPERM, family
memory = ctypes.create_string_buffer(120)
assert not opened(numbers[1], 1, ctypes.addressof(memory))
assert ctypes.get_errno() == errno.EPERM
"""


def test_no_way_leads_around_the_network(shared: Testbed) -> None:
    """Sockets of the hypervisor's (vsock(7)) belong to no network namespace, and a ring would open them unseen."""
    assert shared.run("idle", "python3", "-c", _SOCKETS) == ""


def test_source_environment_and_hosts(bed: Testbed, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "tool").write_text("#!/bin/sh\necho $WORD\n")
    (tmp_path / "bin" / "tool").chmod(0o700)
    bed.start(
        Node(
            name="svc",
            kind="cloud-run",
            image="testbed/runtime",
            command=("sleep", "infinity"),
            source=str(tmp_path),
            environment={"WORD": "two words; $HOME"},
            hosts={"db": "10.9.8.7"},
        )
    )
    assert bed.run("svc", "bin/tool") == "two words; $HOME\n"
    assert (
        bed.run("svc", "stat", "-c", "%n %u:%g", "/workspace", "bin/tool")
        == "/workspace 1000:1000\nbin/tool 1000:1000\n"
    )
    assert bed.run("svc", "getent", "hosts", "db").split() == ["10.9.8.7", "db"]
    assert bed.run("svc", "hostname") == "svc\n"


def test_docker_knows_nothing_of_a_secret_that_the_program_has(bed: Testbed) -> None:
    secret = "it's $HOME `id` \\n"
    tell = ("sh", "-c", 'echo "$PLAIN"; printenv SECRET; exec sleep infinity')
    node = Node("svc", "cloud-run", "testbed/runtime", tell, environment={"PLAIN": "p"}, secrets={"SECRET": secret})
    bed.start(node)
    eventually(lambda: b"".join(bed.nodes.logs("svc")) == f"p\n{secret}\n".encode(), "the program does not have it")
    assert bed.run("svc", "printenv", "SECRET") == f"{secret}\n"
    assert "$HOME `id`" not in json.dumps(bed.nodes.container("svc").attrs)


def test_the_image_need_not_have_the_workspace(bed: Testbed, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    bed.start(Node(name="a", kind="vm", image="testbed/base", command=("sleep", "infinity"), source=str(tmp_path)))
    assert bed.run("a", "stat", "-c", "%u %a", "/workspace/file") == "1000 644\n"


def test_files_go_in_and_come_out(shared: Testbed) -> None:
    shared.nodes.put_file("idle", "/tmp", "some/file", DATA)  # noqa: S108 - in the container
    assert shared.nodes.fetch_file("idle", "/tmp/some/file") == DATA  # noqa: S108 - in the container
    with pytest.raises(NotFound, match="no file"):
        shared.nodes.fetch_file("idle", "/tmp/none")  # noqa: S108 - in the container


# -- life -------------------------------------------------------------------------------------------------------------


def test_a_running_node_is_described(shared: Testbed) -> None:
    node = shared.nodes.running()["idle"]
    image = shared.nodes.container("idle").attrs["Image"]
    assert (node.name, node.kind, node.state, node.image) == ("idle", "vm", "running", image)
    assert node.spec == shared.nodes.spec_hash(IDLE, image)
    assert Path(f"/proc/{node.pid}/ns/net").readlink() != Path("/proc/self/ns/net").readlink()


def test_testbeds_do_not_see_each_other(shared: Testbed, bed: Testbed) -> None:
    assert list(shared.nodes.running()) == ["idle"]
    assert bed.nodes.running() == {}


def test_another_ones_container_is_left_alone(bed: Testbed) -> None:
    other = bed.client.containers.create("testbed/debian:bookworm", ["true"], name=f"tb-{bed.name}-idle")
    try:
        with pytest.raises(AlreadyExists, match=f"tb-{bed.name}-idle"):
            bed.start(IDLE)
        bed.nodes.stop_all(["idle"])
        other.reload()
        with pytest.raises(NotFound):
            bed.nodes.container("idle")
    finally:
        other.remove()


def test_what_a_killed_run_left_is_replaced(bed: Testbed) -> None:
    (first,) = bed.start(IDLE)
    bed.nodes.container("idle").kill()
    eventually(lambda: bed.nodes.running()["idle"].state == "exited", "killed, but not ended")
    assert bed.nodes.running()["idle"].pid == 0
    (second,) = bed.start(IDLE)
    assert second.container != first.container
    assert second.state == "running"


def test_stopping_what_is_not_there_is_no_error(bed: Testbed) -> None:
    bed.start(IDLE)
    bed.nodes.stop_all(["idle", "none"])
    bed.nodes.stop_all(["idle"])
    assert bed.nodes.running() == {}


def test_a_node_that_has_ended_is_still_known(bed: Testbed) -> None:
    script = "until [ -e /tmp/go ]; do sleep 0.05; done; echo I gave up; exit 3"
    bed.start(Node(name="bad", kind="vm", image="testbed/base", command=("sh", "-c", script)))
    bed.run("bad", "touch", "/tmp/go")  # noqa: S108 - in the container
    eventually(lambda: bed.nodes.running()["bad"].state == "exited", "it goes on")
    assert b"".join(bed.nodes.logs("bad")) == b"I gave up\n"


def test_a_command_in_a_node_that_has_ended(bed: Testbed) -> None:
    bed.start(IDLE)
    bed.nodes.container("idle").kill()
    with pytest.raises(FailedPrecondition):
        bed.run("idle", "true")


# -- commands ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [0, 1, 42, 255])
def test_the_exit_status_passes_through(shared: Testbed, status: int) -> None:
    assert shared.execute("idle", "sh", "-c", f"exit {status}").status == status


def test_a_signal_is_an_exit_status(shared: Testbed) -> None:
    assert shared.execute("idle", "sh", "-c", "kill -9 $$").status == 137


def test_a_command_that_does_not_exist(shared: Testbed) -> None:
    missing = shared.execute("idle", "nosuchcommand")
    assert (missing.status, missing.stdout, missing.stderr) == (
        127,
        b"",
        b"nosuchcommand: not found in the container\n",
    )
    folder = shared.execute("idle", "/etc")
    assert (folder.status, folder.stdout, folder.stderr) == (126, b"", b"/etc: permission denied\n")


def test_a_command_may_say_what_docker_says(shared: Testbed) -> None:
    said = shared.execute("idle", "echo", "OCI runtime exec failed: so it says")
    assert (said.status, said.stdout) == (0, b"OCI runtime exec failed: so it says\n")


def test_bytes_pass_through(shared: Testbed) -> None:
    result = shared.execute("idle", "cat", stdin=DATA)
    assert (result.status, result.stdout, result.stderr) == (0, DATA, b"")


def test_streams_stay_apart(shared: Testbed) -> None:
    result = shared.execute("idle", "sh", "-c", "cat >&2; echo out", stdin=DATA)
    assert (result.status, result.stdout, result.stderr) == (0, b"out\n", DATA)


def test_input_that_is_not_read_does_no_harm(shared: Testbed) -> None:
    assert shared.execute("idle", "sh", "-c", "exit 3", stdin=DATA).status == 3


def test_arguments_reach_no_shell(shared: Testbed) -> None:
    assert shared.run("idle", "echo", "$HOME; `id` 'x'") == "$HOME; `id` 'x'\n"


def test_no_byte_of_the_first_output_is_lost(shared: Testbed) -> None:
    for _ in range(30):
        assert shared.execute("idle", "echo", "first").stdout == b"first\n"


def test_a_terminal_is_given_to_a_command(shared: Testbed) -> None:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (33, 99))
    seen = bytearray()

    def person() -> None:
        while b"name?" not in seen:
            seen.extend(os.read(ours, 1000))
        os.write(ours, b"word\r")

    typing = threading.Thread(target=person, daemon=True)
    typing.start()
    script = "test -t 0 && echo name? && read name && echo got:$name && stty size && exit 5"
    container = str(shared.nodes.container("idle").id)
    before = termios.tcgetattr(theirs)
    try:
        assert passed_through(shared.client, container, ["sh", "-c", script], (theirs, theirs, theirs)) == 5
        typing.join(PATIENCE)
        seen.extend(os.read(ours, 1000))
        assert b"got:word\r\n33 99\r\n" in seen
        assert termios.tcgetattr(theirs) == before
    finally:
        os.close(ours)
        os.close(theirs)


def test_output_nobody_reads_any_more_ends_the_command(shared: Testbed) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    container = str(shared.nodes.container("idle").id)
    with Path("/dev/null").open("rb") as nothing, pytest.raises(BrokenPipeError):
        passed_through(shared.client, container, ["yes", "endless"], (nothing.fileno(), writing, writing))
    os.close(writing)
    eventually(lambda: "endless" not in shared.run("idle", "ps", "-eo", "args"), "the command goes on")


@pytest.mark.parametrize("timeout", [0, 0.5])
def test_a_command_that_takes_too_long_is_killed(shared: Testbed, timeout: float) -> None:
    """Also if Docker has not even started it: it is about to."""
    with pytest.raises(DeadlineExceeded, match=rf"sleep.* {timeout:g} s"):
        shared.nodes.capture("idle", ["sleep", "1234"], timeout=timeout)
    eventually(lambda: "sleep 1234" not in shared.run("idle", "ps", "-eo", "args"), "the command goes on")


def test_a_command_of_an_unknown_node(shared: Testbed) -> None:
    with pytest.raises(NotFound, match="idle"):
        shared.run("none", "true")


def test_output_is_reported_while_it_comes(shared: Testbed) -> None:
    seen: list[bytes] = []
    status, rest = shared.nodes.capture(
        "idle", ["sh", "-c", "echo $PWD; exit 4"], on_output=seen.append, directory="/usr", timeout=PATIENCE
    )
    assert (status, rest, b"".join(seen)) == (4, b"", b"/usr\n")


def test_the_log_is_what_the_node_wrote(bed: Testbed) -> None:
    bed.start(
        Node(
            name="talker",
            kind="vm",
            image="testbed/base",
            command=("sh", "-c", "echo one; echo two >&2; echo three; exec sleep infinity"),
        )
    )
    eventually(lambda: b"three" in b"".join(bed.nodes.logs("talker")), "nothing is logged")
    assert sorted(b"".join(bed.nodes.logs("talker")).split()) == [b"one", b"three", b"two"]
    assert b"".join(bed.nodes.logs("talker", tail=1)).count(b"\n") == 1


def test_a_followed_log_ends_with_the_node(bed: Testbed) -> None:
    bed.start(Node(name="talker", kind="vm", image="testbed/base", command=("sh", "-c", "echo one; sleep 1; echo two")))
    assert b"".join(bed.nodes.logs("talker", follow=True)) == b"one\ntwo\n"


def test_what_a_node_has_written_is_measured_and_no_file_is_larger_than_it_may_be(bed: Testbed) -> None:
    node = Node(name="full", kind="vm", image="testbed/base", command=("sleep", "infinity"), disk=8 << 20)
    (running,) = bed.start(node)
    assert running.disk == 8 << 20
    before = bed.nodes.used(running.container)
    assert before < 1 << 20
    bed.run("full", "dd", "if=/dev/urandom", "of=/tmp/some", "bs=1M", "count=4")
    assert 4 << 20 <= bed.nodes.used(running.container) < 5 << 20
    status, _ = bed.nodes.capture("full", ["dd", "if=/dev/zero", "of=/var/tmp/large", "bs=1M", "count=9"])
    assert status
    assert bed.run("full", "stat", "-c", "%s", "/var/tmp/large").strip() == str(8 << 20)  # noqa: S108 - in the container
