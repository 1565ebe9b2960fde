# mypy: allow-subclassing-any
"""A socket of rtnetlink(7): pyroute2's, with nexthop objects and with complete answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from errno import EOPNOTSUPP
from functools import partial
from socket import AF_INET, if_nametoindex
from typing import Any

from pyroute2.iproute.linux import IPRoute
from pyroute2.netlink import NLM_F_DUMP_INTR
from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.rtnl import (
    RTM_DELQDISC,
    RTM_DELROUTE,
    RTM_DELTCLASS,
    RTM_GETADDR,
    RTM_GETLINK,
    RTM_GETNEIGH,
    RTM_GETQDISC,
    RTM_GETROUTE,
    RTM_GETRULE,
    RTM_GETTCLASS,
    RTM_NEWQDISC,
    RTM_NEWROUTE,
    RTM_NEWTCLASS,
)
from pyroute2.netlink.rtnl.fibmsg import fibmsg
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.ndmsg import ndmsg

from testbed.errors import Internal, Unavailable
from testbed.fabric.plan import QDISC
from testbed.json_object import Json
from testbed.kernel.change import KernelStep
from testbed.kernel.dump import Dump, Message
from testbed.kernel.nexthop_messages import (
    RTM_DELNEXTHOP,
    RTM_GETNEXTHOP,
    RTM_NEWNEXTHOP,
    NexthopMessage,
    RouteMessage,
    message,
)
from testbed.kernel.tc_message import TcMessage

_ATTEMPTS = 20
"""How often a list is asked for that changes while the kernel writes it."""
_SKIP_STATISTICS = 8  # RTEXT_FILTER_SKIP_STATS
_DEVICES = ("index", "oif", "link")
"""What pyroute2 calls a device: requests have its name, the kernel wants its number."""
_HOPS = "multipath"

_QDISC = {"replace": (RTM_NEWQDISC, "replace"), "delete": (RTM_DELQDISC, "req")}
_CLASS = {"replace": (RTM_NEWTCLASS, "replace"), "delete": (RTM_DELTCLASS, "req")}
_NEXTHOP = {"replace": (RTM_NEWNEXTHOP, "replace"), "delete": (RTM_DELNEXTHOP, "req")}
_ROUTE = {"replace": (RTM_NEWROUTE, "replace"), "delete": (RTM_DELROUTE, "req")}


class Socket(IPRoute):
    """Belongs to the namespace of the thread that opens it, and is used and closed by that thread."""

    def __init__(self) -> None:
        super().__init__(ext_ack=True, strict_check=True)
        self.register_policy({RTM_NEWNEXTHOP: NexthopMessage, RTM_NEWROUTE: RouteMessage})
        self.register_policy({RTM_NEWQDISC: TcMessage, RTM_NEWTCLASS: TcMessage})
        self.status["nlm_generator"] = False  # `nlm_request` looks for it, but IPRoute does not set it

    def nexthop(self, command: str, **values: object) -> None:
        """`ip nexthop`."""
        self.nlm_request(message(NexthopMessage, values), *self.make_request_type(command, _NEXTHOP))

    def route(self, command: str, **values: object) -> None:
        """`ip route`."""
        self.nlm_request(message(RouteMessage, values), *self.make_request_type(command, _ROUTE))

    def qdisc(self, command: str, **values: object) -> None:
        """`tc qdisc`."""
        self.nlm_request(message(TcMessage, values), *self.make_request_type(command, _QDISC))

    def tclass(self, command: str, **values: object) -> None:
        """`tc class`."""
        self.nlm_request(message(TcMessage, values), *self.make_request_type(command, _CLASS))

    def perform(self, step: KernelStep) -> None:
        """Does one step.

        A deletion that the kernel refuses is no error: with a device or nexthop the kernel removes what depends on it,
        so that it may be gone already.  (`apply` reads everything back, and would see it if it were not.)

        Raises:
            Internal: the kernel refused it, and why.
        """
        request, change = step.request, step.change
        try:
            getattr(self, request.subject)(request.command, **_numbered(request.values))
        except (NetlinkError, OSError) as error:
            if change.verb != "delete":
                raise Internal(f"{change}: the kernel refused it: {error.args[-1]}") from error

    def dump(self) -> Dump:
        """All that the namespace has."""
        qdiscs = self._qdiscs()
        with_classes = [one["index"] for one in qdiscs if one["handle"] == QDISC << 16 and one.get("kind") == "htb"]
        return Dump(
            self._list(RTM_GETLINK, ifinfmsg, ext_mask=_SKIP_STATISTICS),
            self._list(RTM_GETADDR, ifaddrmsg, family=AF_INET),
            qdiscs,
            [one for index in with_classes for one in self._list(RTM_GETTCLASS, TcMessage, index=index)],
            self._list(RTM_GETNEIGH, ndmsg, family=AF_INET),
            self._list(RTM_GETNEXTHOP, NexthopMessage),
            self._list(RTM_GETROUTE, RouteMessage, family=AF_INET),
            self._list(RTM_GETRULE, fibmsg, family=AF_INET),
        )

    def _qdiscs(self) -> Sequence[Message]:
        """Those of all devices; a kernel without any (CONFIG_NET_SCHED) does not know the question."""
        try:
            return self._list(RTM_GETQDISC, TcMessage)
        except NetlinkError as error:
            if error.code == EOPNOTSUPP:
                return []
            raise

    def _list(self, command: int, kind: type[Any], **values: object) -> Sequence[Message]:
        """Every object of a kind.

        The kernel marks a list that changed while it was written (some objects may be missing, or be there twice), but
        pyroute2 does not look at the mark.
        """
        request = command, self.make_request_flags("dump")
        for _ in range(_ATTEMPTS):
            flags: list[int] = []
            found: Sequence[Message] = self.nlm_request(message(kind, values), *request, callback=partial(_note, flags))
            if not any(each & NLM_F_DUMP_INTR for each in flags):
                return found
        raise Unavailable(f"kernel's list of {kind.__name__}: it changed {_ATTEMPTS} times while it was read")


def _note(flags: list[int], answer: Message) -> None:
    flags.append(answer["header"]["flags"])


def _numbered(values: Mapping[str, Any]) -> Json:
    numbered = {name: if_nametoindex(v) if v and name in _DEVICES else v for name, v in values.items()}
    if values.get(_HOPS):
        numbered[_HOPS] = [(if_nametoindex(device), gateway) for device, gateway in values[_HOPS]]
    return numbered
