"""Which rules drop packets, and why: read off what `iptables-save -c` prints."""

from __future__ import annotations

import pytest

from testbed.control.facts.drops import dropping
from testbed.kernel import iptables
from testbed.model.drop_causes import CAUSES, Cause, cause_of

SAVED = """
*filter
:FORWARD DROP [0:0]
:egress - [0:0]
:ingress - [0:0]
:logged/1 - [0:0]
:logged/2 - [0:0]
[7:420] -A FORWARD -m set ! --match-set nics src -m comment --comment no-transit -j DROP
[0:0] -A FORWARD -o internet -m comment --comment no-external-address -j DROP
[5:300] -A FORWARD -m comment --comment out-of-resources-nat -j DROP
[9:540] -A ingress -p tcp -m comment --comment allow-web -j ACCEPT
[2:120] -A ingress -p tcp -m comment --comment smtp-blocked -j DROP
[3:180] -A ingress -p tcp -m comment --comment deny-db -g logged/1
[4:240] -A ingress -p tcp -m comment --comment allow-all -g logged/2
[1:60] -A ingress -m comment --comment implied-deny-ingress -j DROP
[3:180] -A logged/1 -j DROP
[4:240] -A logged/2 -j ACCEPT
COMMIT
"""


def test_rules_that_have_dropped_are_told_with_their_causes() -> None:
    rules = [rule for saved in iptables.parse(SAVED).values() for rule in saved.rules]
    assert [(rule.comment, rule.packets, cause.id) for rule, cause in dropping(rules)] == [
        ("no-transit", 7, "no-transit"),
        ("out-of-resources-nat", 5, "out-of-resources"),
        ("smtp-blocked", 2, "firewall-rule"),  # a user's rule of that name
        ("deny-db", 3, "firewall-rule"),  # which is logged
        ("implied-deny-ingress", 1, "implied-deny-ingress"),
    ]


@pytest.mark.parametrize("id_", CAUSES)
@pytest.mark.behaviour("7.1.6", "7.1.7")
def test_each_cause_is_known_by_its_comment_and_can_be_read(id_: str) -> None:
    cause = CAUSES[id_]
    assert cause_of(id_) is cause is cause_of(f"{id_}-gateway")
    assert cause.google in Cause
    for text in (cause.text, cause.remedy):
        assert text[0].islower()
        assert not text.endswith(".")
