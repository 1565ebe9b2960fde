"""What a VPN gateway lets pass: nothing goes by unencrypted, and only what the traffic selectors of a tunnel cover.

IKE negotiates what each tunnel is for, and strongSwan encrypts that.  The rest must not leave by the gateway's route to
the internet, as it would on any router: it is dropped, and the rule that counts it is named after Google's cause.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from testbed.fabric.dropping import drop
from testbed.fabric.plan import Chain, Table
from testbed.fabric.wiring import DEFAULT
from testbed.model.drop_causes import NO_SELECTOR, VPN_LOCAL_SELECTOR, VPN_REMOTE_SELECTOR, DropCause
from testbed.model.hybrid.vpn import VpnTunnel

SHORT_SEGMENTS = "-p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu"
"""TCP fits into the tunnel whether or not ICMP errors get through: Cloud VPN clamps the MSS (behaviour 4.10.6)."""
INSIDE, OUTSIDE = "vpc", "internet"
"""The devices of a gateway."""
_COVERED = "covered"


def classic(tunnels: Iterable[VpnTunnel]) -> Table:
    """The rules of a classic gateway."""
    pairs = dict.fromkeys(
        (local, remote)
        for tunnel in tunnels
        for local in tunnel.local_traffic_selector
        for remote in tunnel.remote_traffic_selector
    )
    forward = (
        SHORT_SEGMENTS,
        *(f"{_end('-s', local)}{_end('-d', remote)}-i {INSIDE} -g {_COVERED}" for local, remote in pairs),
        *_mismatches(dict.fromkeys(remote for _, remote in pairs)),
        _dropped(f"-i {OUTSIDE} -m policy --dir in --pol none", NO_SELECTOR),
    )
    covered = (_dropped(f"-o {OUTSIDE} -m policy --dir out --pol none", NO_SELECTOR),)
    return Table("filter", (Chain("FORWARD", "ACCEPT", forward), Chain(_COVERED, None, covered)))


def route_based() -> Table:
    """The rules of a tunnel's own node, where routes say what the tunnel is for."""
    return Table("filter", (Chain("FORWARD", "ACCEPT", (SHORT_SEGMENTS,)),))


def _mismatches(remotes: Iterable[str]) -> Iterator[str]:
    for remote in remotes:
        yield _dropped(f"{_end('-d', remote)}-i {INSIDE}", VPN_LOCAL_SELECTOR)
    yield _dropped(f"-i {INSIDE}", VPN_REMOTE_SELECTOR)


def _dropped(packets: str, cause: DropCause) -> str:
    return f"{packets} {drop(cause)}"


def _end(side: str, cidr: str) -> str:
    return "" if cidr == DEFAULT else f"{side} {cidr} "
