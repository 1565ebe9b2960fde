from __future__ import annotations

import gzip
import os
import socket
from pathlib import Path

import pytest

from testbed.capability import Capability, missing
from testbed.kernel.capabilities import VETH, probe
from testbed.kernel.feature_test import Command, perform, step, trying
from testbed.kernel.temporary_namespace import in_new_namespace

CONFIG = Path("/proc/config.gz")
SYMBOLS = {
    "vxlan-gpe": "CONFIG_VXLAN",
    "veth": "CONFIG_VETH",
    "tun": "CONFIG_TUN",
    "esp": "CONFIG_INET_ESP",
    "vlan": "CONFIG_VLAN_8021Q",
    "sch_tbf": "CONFIG_NET_SCH_TBF",
    "sch_htb": "CONFIG_NET_SCH_HTB",
    "xt_CLASSIFY": "CONFIG_NETFILTER_XT_TARGET_CLASSIFY",
    "xt_hashlimit": "CONFIG_NETFILTER_XT_MATCH_HASHLIMIT",
    "xt_connlimit": "CONFIG_NETFILTER_XT_MATCH_CONNLIMIT",
}


@pytest.fixture(scope="module")
def seen() -> dict[str, Capability]:
    return {capability.name: capability for capability in probe()}


def network_namespace() -> str:
    return str(Path("/proc/thread-self/ns/net").readlink())


def test_this_host_has_what_a_testbed_needs(seen: dict[str, Capability]) -> None:
    assert missing(seen.values()) == []


@pytest.mark.parametrize("name", SYMBOLS)
def test_what_was_tried_agrees_with_the_kernels_own_configuration(seen: dict[str, Capability], name: str) -> None:
    if not CONFIG.exists():
        pytest.skip("this kernel does not publish its configuration")
    lines = gzip.decompress(CONFIG.read_bytes()).decode().splitlines()
    if f"{SYMBOLS[name]}=m" in lines:
        pytest.skip("a module: whether it is there, only trying tells")
    assert seen[name].present is (f"{SYMBOLS[name]}=y" in lines), seen[name].detail


def test_a_trial_has_a_namespace_of_its_own() -> None:
    here = network_namespace()
    assert in_new_namespace(network_namespace) != here
    assert network_namespace() == here


def test_what_a_trial_makes_is_not_on_the_host() -> None:
    def devices() -> list[str]:
        assert perform((VETH,)).present
        return [name for _, name in socket.if_nameindex()]

    assert {"tb0", "tb1"} <= set(in_new_namespace(devices))
    assert not {"tb0", "tb1"} & {name for _, name in socket.if_nameindex()}


def test_trials_do_not_see_each_other() -> None:
    look = trying(VETH)
    assert look().present
    assert look().present


@pytest.mark.parametrize(
    ("steps", "detail"),
    [
        ((step("ip link add tb0 type nosuch"),), "ip link add: Error: Unknown device type."),
        ((step("no-such-program"),), "program no-such-program: it is not installed"),
        ((step("false"), step("echo never")), "false failed (1):"),
    ],
)
def test_what_does_not_work_is_absent(steps: tuple[Command, ...], detail: str) -> None:
    finding = trying(*steps)()
    assert not finding.present
    assert finding.detail == detail


def test_the_last_steps_first_line_is_the_detail() -> None:
    assert trying(step("echo one"), step("cat", "two\nthree\n"))().detail == "two"
    assert trying(step("true"))().detail == "works"


def test_an_error_in_the_namespace_comes_back() -> None:
    with pytest.raises(ZeroDivisionError):
        in_new_namespace(lambda: os.getpid() // 0)
