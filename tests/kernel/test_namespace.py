from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.errors import AlreadyExists, FailedPrecondition, NotFound
from testbed.kernel import namespace
from testbed.kernel.command import run
from tests.kernel.spaces import Paths, answering, ask, living_in, sh, spaces
from tests.waiting import PATIENCE


@pytest.fixture
def paths() -> Iterator[Paths]:
    with spaces("a", "b") as made:
        yield made


def current() -> str:
    return str(Path("/proc/thread-self/ns/net").readlink())


def threads_and_descriptors() -> tuple[int, int]:
    return threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))


def test_only_the_worker_thread_enters_the_namespace(paths: Paths) -> None:
    before = current()
    there = namespace.inside(paths["a"], current)

    assert there == f"net:[{Path(paths['a']).stat().st_ino}]"
    assert there != before
    assert current() == before


def test_a_subprocess_of_the_worker_is_in_the_namespace(paths: Paths) -> None:
    there = namespace.inside(paths["a"], lambda: run(["readlink", "/proc/self/ns/net"]))

    assert there.strip() == f"net:[{Path(paths['a']).stat().st_ino}]"


def test_an_exception_inside_reaches_the_caller(paths: Paths) -> None:
    with pytest.raises(ZeroDivisionError):
        namespace.inside(paths["a"], lambda: 1 // 0)


def test_entering_again_and_again_leaves_no_thread_and_no_descriptor(paths: Paths) -> None:
    namespace.inside(paths["a"], current)
    before = threads_and_descriptors()

    for _ in range(50):
        namespace.inside(paths["a"], current)

    assert threads_and_descriptors() == before


def test_a_namespace_is_entered_by_the_path_of_a_process(paths: Paths) -> None:
    with living_in(paths["a"]) as pid:
        assert namespace.inside(f"/proc/{pid}/ns/net", current) == namespace.inside(paths["a"], current)


def test_a_namespace_that_does_not_exist_is_not_found() -> None:
    with pytest.raises(NotFound, match="/run/netns/tb-none: not found"):
        namespace.inside(namespace.path("tb-none"), current)
    with pytest.raises(NotFound, match="/run/netns/tb-none: not found"):
        namespace.processes(namespace.path("tb-none"))


def test_a_file_that_is_no_namespace_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(FailedPrecondition, match="is not a network namespace"):
        namespace.inside(str(tmp_path / "file"), current)


def test_a_name_is_taken_only_once(paths: Paths) -> None:
    with pytest.raises(AlreadyExists, match=Path(paths["a"]).name):
        namespace.create(Path(paths["a"]).name)


def test_a_namespace_says_whose_it_is(paths: Paths) -> None:
    other = Path(paths["a"]).name
    name, owner = f"{other}-owned", "/a folder" + "x" * 300
    namespace.create(name, owner=owner)
    try:
        assert namespace.owned(owner, other) == [name]
        assert namespace.owned("/a folder", other) == []
    finally:
        namespace.delete(name)


def test_names_are_listed_by_prefix(paths: Paths) -> None:
    name = Path(paths["a"]).name

    assert namespace.names(name[:-1]) == [name, f"{name[:-1]}b"]


def test_deleting_twice_is_no_error(paths: Paths) -> None:
    name = Path(paths["a"]).name

    namespace.delete(name)
    namespace.delete(name)

    assert namespace.names(name) == []


def test_what_a_killed_create_left_is_deleted() -> None:
    name = "tb-kt-unmounted"
    Path(namespace.path(name)).touch()  # the kill came between the file and the mount
    assert namespace.unfinished(name, "tb-kt-nosuch") == [name]

    namespace.delete(name)

    assert namespace.names(name) == []


def test_a_namespace_with_a_process_is_not_deleted(paths: Paths) -> None:
    empty, used = (Path(paths[name]).name for name in "ab")
    assert namespace.unfinished(empty, used) == []
    with living_in(paths["b"]) as pid:
        assert namespace.processes(paths["b"]) == [pid]
        with pytest.raises(FailedPrecondition, match=rf"{used}: processes use it: {pid} \(cat\)"):
            namespace.delete(empty, used)
        assert namespace.names(empty) == [empty]

    assert namespace.processes(paths["b"]) == []


def test_a_connection_starts_in_the_namespace(paths: Paths) -> None:
    sh(paths["a"], "ip link set lo up")
    with (
        answering(paths["a"], ("127.0.0.1", 8080), "a"),
        namespace.connect(paths["a"], ("127.0.0.1", 8080), PATIENCE) as connection,
    ):
        assert ask(connection) == "a"
        assert connection.gettimeout() == PATIENCE


def test_a_connection_that_is_refused_is_the_sockets_error(paths: Paths) -> None:
    sh(paths["a"], "ip link set lo up")
    with pytest.raises(ConnectionRefusedError):
        namespace.connect(paths["a"], ("127.0.0.1", 8080), PATIENCE)


def test_a_socket_stays_in_the_namespace_that_it_was_made_in(paths: Paths) -> None:
    sh(paths["a"], "ip address add 192.0.2.1/32 dev lo")
    with namespace.socket_in(paths["a"], socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(("192.0.2.1", 0))  # an address that the host does not have
        assert one.getsockname()[0] == "192.0.2.1"
