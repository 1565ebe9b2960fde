"""Keeps the interface of a route-based tunnel as its security association is: with its address, or without.

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


def run(*command: str) -> str | None:
    """The output of a command, or None if it failed."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    return done.stdout if done.returncode == 0 else None


def look(settings: dict[str, Any]) -> None:
    """See that the interface is as the tunnel is."""
    associations = run("swanctl", "--list-sas")
    if associations is None:  # the daemon does not run, and neither does its device
        return
    up = ", INSTALLED, " in associations
    found = json.loads(run("ip", "-json", "address", "show", "dev", DEVICE) or "[]")
    if found:
        if found[0]["mtu"] != settings["mtu"]:
            run("ip", "link", "set", DEVICE, "mtu", str(settings["mtu"]))
        wanted = {settings["address"]} if up and settings["address"] else set()
        there = {f"{one['local']}/{one['prefixlen']}" for one in found[0]["addr_info"] if one["family"] == "inet"}
        for verb, addresses in (("delete", there - wanted), ("add", wanted - there)):
            for address in addresses:
                sys.stderr.write(f"{DEVICE}: {verb} {address}\n")
                run("ip", "address", verb, address, "dev", DEVICE)
    if settings["initiate"] and not associations.strip():
        run("swanctl", "--initiate", "--child", settings["tunnel"], "--timeout", "3")
    elif settings["initiate"] and not up and "\n  active:" not in associations:  # all but the tunnel is there
        run("swanctl", "--terminate", "--ike", settings["tunnel"], "--timeout", "3")


while True:
    try:
        look(json.loads(SETTINGS.read_text()))
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        sys.stderr.write(f"{error}\n")
    time.sleep(INTERVAL)
