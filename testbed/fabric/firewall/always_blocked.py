"""What the cloud never lets pass, whatever a network's firewall rules say (behaviour 4.2.2).

Each cause has one comment, so that its counter names it.  What is always allowed needs no rule: the metadata server is
in the network's own namespace, where the chains of firewall rules are not tried, and what a VM sends to its own address
does not leave it (behaviour 4.2.1).
"""

from __future__ import annotations

from testbed.fabric.dropping import drop
from testbed.fabric.naming import interface_name
from testbed.fabric.plan import Chain
from testbed.model.core.well_known import INTERNET
from testbed.model.drop_causes import DHCP, PROTOCOL, SMTP

_EXTERNAL = ("tcp", "udp", "icmp", "ipencap", "ah", "esp", "sctp", "gre")
"""What external addresses take, in the names of iptables."""
_CHAIN = "external-protocols"
_INTERNET = interface_name(INTERNET)


def dhcp(nics: str, *, answers: bool = False) -> str:
    """The rule against DHCP offers and acknowledgements into a NIC of this set; `answers` are those to a request.

    These have to be looked at before all that belongs to a known connection is accepted.
    """
    known = "-m conntrack --ctstate ESTABLISHED " if answers else ""
    return f"-p udp -m udp --dport 68 -m set --match-set {nics} dst {known}{drop(DHCP)}"


FROM_INTERNET = f"-i {_INTERNET} -j {_CHAIN}"
TO_INTERNET = (
    f"-o {_INTERNET} -p tcp -m tcp --dport 25 {drop(SMTP)}",
    # Google says it of what is sent to external addresses of its own; as no answer could come, none is asked for here.
    f"-o {_INTERNET} -j {_CHAIN}",
)
EXTERNAL_PROTOCOLS = Chain(_CHAIN, None, (*(f"-p {name} -j RETURN" for name in _EXTERNAL), drop(PROTOCOL)))
"""Tried for new connections only."""
