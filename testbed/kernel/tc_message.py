# mypy: allow-subclassing-any
"""The message of rtnetlink(7) for queueing disciplines and classes: pyroute2's own lacks attributes of large bursts."""

from __future__ import annotations

from pyroute2.netlink import nlmsg


class TcMessage(nlmsg):
    """`struct tcmsg`, of a queueing discipline or of a class; what depends on its kind is left as it is."""

    prefix = "TCA_"
    fields = (
        ("family", "B"), ("pad1", "B"), ("pad2", "H"), ("index", "i"), ("handle", "I"), ("parent", "I"), ("info", "I"),
    )  # fmt: skip
    nla_map = (
        (1, "TCA_KIND", "asciiz"),
        (2, "TCA_OPTIONS", "cdata"),
        (7, "TCA_STATS2", "cdata"),
    )
