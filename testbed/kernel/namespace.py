"""Named network namespaces, and acting inside any namespace.

A namespace is given by a path: `/run/netns/NAME`, or `/proc/PID/ns/net` for a container's.  Only worker threads enter
one (setns(2) moves the calling thread alone), so the program's main thread stays where it is; whatever a worker opens
or starts, a socket or a subprocess, belongs to the namespace, and /proc/sys/net shows the namespace's values to it.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

from testbed.errors import AlreadyExists, FailedPrecondition, NotFound, PermissionDenied
from testbed.fabric.naming import host_name
from testbed.fabric.plan import Namespace
from testbed.kernel import netlink
from testbed.kernel.temporary_namespace import CLONE_NEWNET, in_new_namespace

T = TypeVar("T")

_RUN = Path("/run/netns")
_OWNER = 254
"""Characters that it is said in."""
_libc = ctypes.CDLL(None, use_errno=True)


def path(name: str) -> str:
    """Where the namespace that `create` makes under this name is found."""
    return str(_RUN / name)


def segment(testbed: str, name: str) -> str:
    """Where a segment of a testbed is found, by what it is called in the plan."""
    return path(host_name(testbed, name))


def of(testbed: str, space: Namespace, processes: Mapping[str, int]) -> str:
    """Where a namespace of a plan is found: that of a node by its process, which `processes` has to know."""
    return f"/proc/{processes[space.name]}/ns/net" if space.node else segment(testbed, space.name)


def identity(path: str) -> tuple[int, int] | None:
    """Which namespace is found there now; None if none is.  Another one may get the name of one that is gone."""
    try:
        found = Path(path).stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def names(prefix: str = "") -> list[str]:
    """The named namespaces of this host whose name begins with `prefix`, sorted."""
    return sorted(entry.name for entry in _RUN.glob("*") if entry.name.startswith(prefix))


def unfinished(*made: str) -> list[str]:
    """Those of these names that have no namespace: their maker was killed between the file and the mount."""
    files = [_RUN / name for name in made]
    return [file.name for file in files if file.exists() and not os.path.ismount(file)]  # Path.is_mount is for folders


def create(*new: str, owner: str = "") -> None:
    """Makes named namespaces; each says whose it is (`owner`).

    Raises:
        AlreadyExists: there is one of that name; those before it in the arguments were made.
        PermissionDenied: the caller is not root.
    """
    for name in new:
        try:
            in_new_namespace(partial(_begin, name, owner))
        except FileExistsError as error:
            raise AlreadyExists(f"network namespace {name}: it exists already") from error
        except PermissionError as error:
            raise PermissionDenied(f"network namespace {name}: {error.strerror}", hint="run it as root") from error


def owned(owner: str, prefix: str = "") -> list[str]:
    """The named namespaces that say they are this owner's, of those whose name begins with `prefix`, sorted."""
    found = []
    for name in names(prefix):
        with suppress(NotFound, FailedPrecondition):  # it is going, or its maker was killed
            if inside(path(name), netlink.alias) == owner[:_OWNER]:
                found.append(name)
    return found


def _begin(name: str, owner: str) -> None:
    """Names the namespace of the calling thread; pyroute2's own `create` would start a process for that."""
    from pyroute2 import netns  # noqa: PLC0415  # see kernel.netlink

    if owner:  # before it has a name, so that none is found that does not say it
        netlink.set_alias(owner[:_OWNER])
    netns.attach(name, threading.get_native_id(), _libc)


def delete(*old: str) -> None:
    """Removes named namespaces with everything in them; one that is not there is no error.

    Raises:
        FailedPrecondition: processes live in one, and would keep it alive without a name.  Nothing was removed.
    """
    from pyroute2 import netns  # noqa: PLC0415  # see kernel.netlink

    there = [name for name in old if (_RUN / name).exists()]
    inhabited = _inhabitants([_RUN / name for name in there])
    for name, processes in zip(there, inhabited, strict=True):
        if processes:
            listed = ", ".join(f"{pid} ({_program(pid)})" for pid in processes)
            raise FailedPrecondition(
                f"network namespace {name}: processes use it: {listed}", hint="end these processes"
            )
    for name in there:
        netns.remove(name, _libc)


def processes(path: str) -> list[int]:
    """The ids of the processes that live in a namespace, as far as the caller may see them.

    Raises:
        NotFound: there is no such namespace.
    """
    try:
        return _inhabitants([Path(path)])[0]
    except FileNotFoundError as error:
        raise NotFound(f"network namespace {path}: not found") from error


def _inhabitants(paths: Sequence[Path]) -> list[list[int]]:
    """For each namespace the processes in it."""
    found: dict[tuple[int, int], list[int]] = {_identity(path): [] for path in paths}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            identity = _identity(entry / "ns" / "net")
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # it ended meanwhile, or the host hides it
        if identity in found:
            found[identity].append(int(entry.name))
    return [sorted(found[_identity(path)]) for path in paths]


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def inside(path: str, action: Callable[[], T]) -> T:
    """The result of `action`, called by a thread of its own inside a namespace; its exceptions are raised here.

    Raises:
        NotFound: there is no such namespace.
        FailedPrecondition: the file is not a namespace (any more).
        PermissionDenied: the caller is not root.
    """

    def enter_and_act() -> T:
        _enter(path)
        return action()

    with ThreadPoolExecutor(1, thread_name_prefix=f"netns {path}") as thread:
        return thread.submit(enter_and_act).result()


def socket_in(path: str, family: socket.AddressFamily, kind: socket.SocketKind, protocol: int = 0) -> socket.socket:
    """A socket that belongs to a namespace for all its life, usable from any thread.  Raises as `inside` does."""
    return inside(path, lambda: socket.socket(family, kind, protocol))


def connect(path: str, address: tuple[str, int], timeout: float) -> socket.socket:
    """A TCP connection that starts in a namespace, made within `timeout` seconds (which stays the socket's time-out).

    Raises:
        OSError: the connection failed, as `socket.connect` reports it (TimeoutError, ConnectionRefusedError, ...).
        TestbedError: as `inside` does.
    """
    connection = socket_in(path, socket.AF_INET, socket.SOCK_STREAM)
    try:
        connection.settimeout(timeout)
        connection.connect(address)
    except OSError:
        connection.close()
        raise
    return connection


def _enter(path: str) -> None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise NotFound(f"network namespace {path}: not found") from error
    except PermissionError as error:
        raise PermissionDenied(f"network namespace {path}: this user may not open it", hint="run it as root") from error
    try:
        if _libc.setns(descriptor, CLONE_NEWNET) == 0:
            return
        number = ctypes.get_errno()
    finally:
        os.close(descriptor)
    if number == errno.EPERM:
        raise PermissionDenied(f"network namespace {path}: this user may not enter it", hint="run it as root")
    raise FailedPrecondition(f"file {path}: it is not a network namespace: {os.strerror(number)}")


def _program(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return "ended"
