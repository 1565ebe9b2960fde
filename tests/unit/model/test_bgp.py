"""Which routes a Cloud Router believes."""

from __future__ import annotations

import pytest

from testbed.model.bgp import Advertised, BgpSession

SESSION = BgpSession(
    "169.254.0.1/30",
    64512,
    "169.254.0.2",
    65010,
    20,
    advertised=(Advertised("192.168.0.0/16", 0),),
    inside=("10.0.0.0/24",),
)


@pytest.mark.parametrize(
    ("destination", "believed"),
    [
        ("192.168.1.0/24", True),
        ("10.0.0.0/8", True),  # longer prefixes of its own win
        ("10.0.0.0/24", False),
        ("10.0.0.128/25", False),
        ("192.168.0.0/16", False),  # what it says itself, it does not learn
    ],
)
@pytest.mark.behaviour("4.3.2")
def test_what_is_believed(destination: str, believed: bool) -> None:
    assert SESSION.believes(destination) is believed
