"""The path from a runtime to a VM: the testbed's, one of the same hops wired by hand, and a plain veth pair."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from testbed.kernel import namespace
from testbed.kernel.command import run
from tests.bench.traffic import Path
from tests.kernel.spaces import spaces

INNER, OUTER, INSTANCE, SERVER = "35.199.240.3", "35.199.224.3", "10.8.0.2", "10.128.0.2"
_SETTINGS = "net.ipv4.ip_forward = 1\nnet.ipv4.conf.all.rp_filter = 0\n"
_MAC = "42:01:00:00:00:01"
"""Both ends of a pair have it, so that neither has to ask for the other's."""

LINKS = (
    ("client", "eth0", 1500, "region", "client"),
    ("region", "vpc", 1500, "vpc", "region"),
    ("vpc", "instance", 1500, "instance", "eth0"),
    ("vpc", "server", 1460, "server", "eth0"),
)
"""Namespace, device, MTU, and the other namespace and device: the testbed's own hops and sizes."""
COMMANDS: Mapping[str, tuple[str, ...]] = {
    "client": (f"address add {INNER}/32 dev eth0", "route add default dev eth0"),
    "region": (
        f"address add {OUTER}/32 dev lo",
        "link add tun0 mtu 1460 type vxlan external gpe dstport 665",
        "link set tun0 up",
        f"route add {INNER} dev client",
        f"route add {INSTANCE} dev vpc",
        f"nexthop add id 1 encap ip id 100 src {OUTER} dst {INSTANCE} dev tun0",
        f"route add {SERVER} nhid 1",
    ),
    "vpc": (
        f"route add {OUTER} dev region",
        f"route add {INSTANCE} dev instance",
        f"route add {SERVER} dev server",
    ),
    "instance": (
        f"address add {INSTANCE}/32 dev eth0",
        "link add tun0 mtu 1460 type vxlan external gpe dstport 665",
        "link set tun0 up",
        "route add default dev eth0",
        f"nexthop add id 1 encap ip id 100 dst {OUTER} dev tun0",
        f"route add {INNER} nhid 1",
    ),
    "server": (f"address add {SERVER}/32 dev eth0", "route add default dev eth0"),
}


@contextmanager
def hand_wired() -> Iterator[Path]:
    """Five namespaces, four veth pairs, a tunnel, masquerade, forwarding, and nothing else: no set, no other rule."""
    with spaces(*COMMANDS) as paths:
        for place, device, mtu, other, other_device in LINKS:
            _pair(paths[place], device, paths[other], other_device, mtu)
        for name, path in paths.items():
            _prepare(path)
            _batch(path, *COMMANDS[name])
        masquerade = f"*nat\n-A POSTROUTING -s {INNER} -o eth0 -j MASQUERADE\nCOMMIT\n"
        namespace.inside(paths["instance"], lambda: run(["iptables-restore", "--noflush"], masquerade))
        yield Path(paths["client"], paths["server"], SERVER)


@contextmanager
def plain() -> Iterator[Path]:
    """Two namespaces and a veth pair."""
    with spaces("client", "server") as paths:
        _pair(paths["client"], "eth0", paths["server"], "eth0", 1460)
        for path, address in zip(paths.values(), (INSTANCE, SERVER), strict=True):
            _prepare(path)
            _batch(path, f"address add {address}/32 dev eth0", "route add default dev eth0")
        yield Path(paths["client"], paths["server"], SERVER)


def _pair(path: str, device: str, other: str, other_device: str, mtu: int) -> None:
    end = f"mtu {mtu} address {_MAC} arp off"
    _batch(path, f"link add {device} {end} type veth peer name {other_device} {end} netns {other}")


def _prepare(path: str) -> None:
    """Every device up, and forwarding."""
    devices = namespace.inside(path, lambda: run(["ip", "-brief", "link"])).splitlines()
    _batch(path, *(f"link set {line.split()[0].split('@')[0]} up" for line in devices))
    namespace.inside(path, lambda: run(["sysctl", "--quiet", "--load", "-"], _SETTINGS))


def _batch(path: str, *commands: str) -> None:
    namespace.inside(path, lambda: run(["ip", "-batch", "-"], "\n".join(commands)))
