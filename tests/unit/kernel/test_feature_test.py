from __future__ import annotations

import pytest

from testbed.kernel.capabilities import rule
from testbed.kernel.feature_test import CAP_NET_ADMIN, CAP_SYS_ADMIN, Command, effective_capabilities, first_line, step

ROOT = "Name:\tbash\nCapInh:\t0000000000000000\nCapEff:\t000001ffffffffff\nCapBnd:\t000001ffffffffff\n"
DOCKER_DEFAULT = "CapBnd:\t000001ffffffffff\nCapEff:\t00000000a80425fb\n"


@pytest.mark.parametrize("capability", [CAP_NET_ADMIN, CAP_SYS_ADMIN])
def test_effective_capabilities_are_read_from_their_own_line(capability: int) -> None:
    assert effective_capabilities(ROOT) >> capability & 1
    assert not effective_capabilities(DOCKER_DEFAULT) >> capability & 1


def test_the_first_line_that_says_something_counts() -> None:
    assert (
        first_line("\n  RTNETLINK answers: Operation not supported\nmore")
        == "RTNETLINK answers: Operation not supported"
    )
    assert first_line(" \n") == ""


def test_a_step_is_a_list_of_words() -> None:
    assert step("ip rule add; reboot") == Command(("ip", "rule", "add;", "reboot"))


def test_a_rule_is_a_whole_transaction_of_its_table() -> None:
    assert rule("nat", "-A POSTROUTING -j MASQUERADE").text == "*nat\n-A POSTROUTING -j MASQUERADE\nCOMMIT\n"
