"""How long a network remembers a connection: answers pass while a packet comes every ten minutes (behaviour 4.1.9)."""

from __future__ import annotations

from types import MappingProxyType

IDLE = 600
"""Seconds."""

_STATES = (
    "generic_timeout", "gre_timeout", "gre_timeout_stream", "icmp_timeout", "sctp_timeout_established",
    "tcp_timeout_close_wait", "tcp_timeout_established", "tcp_timeout_fin_wait", "tcp_timeout_max_retrans",
    "tcp_timeout_unacknowledged", "udp_timeout", "udp_timeout_stream",
)  # fmt: skip
"""Connections that may go on.  One that is being opened, or is over, is forgotten sooner (our choice)."""

SYSCTLS = MappingProxyType({f"net.netfilter.nf_conntrack_{state}": str(IDLE) for state in _STATES})
