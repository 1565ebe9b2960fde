"""The system calls that nodes may use: Docker's default profile, without ways around the testbed's networks.

`docker-20.10.json` is the default of Docker Engine 20.10.24, unchanged: profiles/seccomp/default.json of
https://github.com/moby/moby, Copyright Docker, Inc. and contributors, under the Apache License 2.0, as LICENSE has it.
What is newer than the profile answers ENOSYS (runc sees to that), so newer programs fall back.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from functools import cache
from importlib.resources import files

from testbed.json_object import Json

FAMILIES = {
    "AF_UNIX": socket.AF_UNIX,
    "AF_INET": socket.AF_INET,
    "AF_INET6": socket.AF_INET6,
    "AF_NETLINK": socket.AF_NETLINK,
    "AF_PACKET": socket.AF_PACKET,
}
"""The families of sockets that belong to a network namespace and that programs need.  AF_VSOCK would lead to the
hypervisor, whatever namespace it is opened in (vsock(7))."""
_REMOVED = ("io_uring_setup", "io_uring_enter", "io_uring_register", "socket", "socketcall")
"""A ring makes sockets without the system call; `socketcall` (of 32-bit programs only) has its arguments in memory,
where a filter cannot read them."""


@cache
def profile() -> str:
    """The profile as Docker takes it (`seccomp=` of its security options)."""
    found: Json = json.loads((files(__name__) / "docker-20.10.json").read_text(encoding="utf-8"))
    kept = ({**rule, "names": [name for name in rule["names"] if name not in _REMOVED]} for rule in found["syscalls"])
    return json.dumps({**found, "syscalls": [*(rule for rule in kept if rule["names"]), *_sockets()]})


def _sockets() -> Iterator[Json]:
    """The whole argument is compared: the kernel reads its lower half only, and must not be told another number."""
    for family in FAMILIES.values():
        equal = {"index": 0, "value": int(family), "valueTwo": 0, "op": "SCMP_CMP_EQ"}
        yield {"names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": [equal], "includes": {}, "excludes": {}}
