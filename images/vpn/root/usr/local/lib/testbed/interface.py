"""Keeps the device of user-space ESP as its security associations are: its MTU by their ciphers (behaviour 4.10.6).

Of a route-based tunnel it is the interface, with its address as long as there is an association, or without.

An address that goes with the tunnel tells BIRD at once that the session is over, as the line protocol of a router's
tunnel interface does; without that, nothing would be known before the hold time.  (The device stays up: charon installs
nothing for one that is down.)  The side that initiates asks for a tunnel that is not there: whatever the peer answered
last, it may have been configured since.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

SETTINGS = Path("/etc/service/interface/settings.json")
DEVICE = "ipsec0"
INTERVAL = 1.0
MTUS = (("HMAC_SHA2_512", 1374), ("HMAC", 1390), ("ESP:", 1400))
"""What there is room for in a tunnel with AES-CBC and an integrity algorithm, and with AES-GCM: 1406 with Google, but
strongSwan's own buffer for what it reads from its device has 1400 bytes."""


def run(*command: str) -> str | None:
    """The output of a command, or None if it failed."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    return done.stdout if done.returncode == 0 else None


def payload(association: str) -> int:
    """The MTU for what an association carries, from its line of `swanctl --list-sas`."""
    return next(mtu for name, mtu in MTUS if name in association)


def look(settings: dict[str, Any]) -> None:
    """See that the interface is as the tunnel is."""
    associations = run("swanctl", "--list-sas")
    if associations is None:  # the daemon does not run, and neither does its device
        return
    up = ", INSTALLED, " in associations
    found = json.loads(run("ip", "-json", "address", "show", "dev", DEVICE) or "[]")
    if found:
        mtus = [payload(line) for line in associations.splitlines() if ", INSTALLED, " in line]
        if mtus and found[0]["mtu"] != min(mtus):
            run("ip", "link", "set", DEVICE, "mtu", str(min(mtus)))
    if found and "address" in settings:
        wanted = {settings["address"]} if up and settings["address"] else set()
        there = {f"{one['local']}/{one['prefixlen']}" for one in found[0]["addr_info"] if one["family"] == "inet"}
        for verb, addresses in (("delete", there - wanted), ("add", wanted - there)):
            for address in addresses:
                sys.stderr.write(f"{DEVICE}: {verb} {address}\n")
                run("ip", "address", verb, address, "dev", DEVICE)
    if settings.get("initiate") and not associations.strip():
        run("swanctl", "--initiate", "--child", settings["tunnel"], "--timeout", "3")
    elif settings.get("initiate") and not up and "\n  active:" not in associations:  # all but the tunnel is there
        run("swanctl", "--terminate", "--ike", settings["tunnel"], "--timeout", "3")


while True:
    try:
        look(json.loads(SETTINGS.read_text()))
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        sys.stderr.write(f"{error}\n")
    time.sleep(INTERVAL)
