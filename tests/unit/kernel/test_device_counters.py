from __future__ import annotations

import os

from testbed.kernel.device_counters import device_bytes


def test_a_devices_bytes_are_those_that_came_and_those_that_went() -> None:
    assert isinstance(device_bytes(os.getpid(), "lo"), int)


def test_a_device_or_process_that_is_gone_has_none() -> None:
    assert device_bytes(os.getpid(), "no-such-device") is None
    assert device_bytes(2**22 + 1, "lo") is None  # above the kernel's largest pid
