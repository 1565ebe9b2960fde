from __future__ import annotations

import pytest

from testbed.errors import Internal
from testbed.kernel import sysctl

IPV6 = "net.ipv6.conf.all.disable_ipv6"


def test_only_what_differs_is_written() -> None:
    wanted = {"net.ipv4.ip_forward": "1", "net.ipv4.tcp_rmem": "4096 131072 6291456"}
    actual = {IPV6: "1", "net.ipv4.ip_forward": "0", "net.ipv4.tcp_rmem": "4096 131072 6291456"}

    assert sysctl.missing(wanted, actual) == {"net.ipv4.ip_forward": "1"}


def test_ipv6_is_switched_off_unless_the_plan_wants_it_or_the_kernel_has_none() -> None:
    assert sysctl.missing({}, {IPV6: "0"}) == {IPV6: "1"}
    assert sysctl.missing({IPV6: "0"}, {IPV6: "0"}) == {}
    assert sysctl.missing({}, {}) == {}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("net.ipv4.ip_forward", False),
        ("net.ipv4.conf.all.rp_filter", False),
        ("net.ipv4.conf.default.rp_filter", False),
        ("net.ipv4.conf.eth0.rp_filter", True),
        ("net.ipv4.neigh.eth0.gc_stale_time", True),
    ],
)
def test_sysctls_of_devices_wait_for_the_device(name: str, *, expected: bool) -> None:
    assert sysctl.of_device(name) is expected


def test_a_name_outside_net_is_refused() -> None:
    with pytest.raises(Internal, match=r"kernel\.panic"):
        sysctl.read(["kernel.panic"])


def test_a_dot_in_a_devices_name_is_written_as_a_slash() -> None:
    assert str(sysctl._path("net.ipv4.conf.eth0/5.rp_filter")) == "/proc/sys/net/ipv4/conf/eth0.5/rp_filter"
