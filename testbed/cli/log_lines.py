"""How records of the firewall log are printed."""

from __future__ import annotations

import json
import sys
from collections import deque
from collections.abc import Iterable
from pathlib import Path

from testbed.control.watch.firewall_log import file_in
from testbed.json_object import Json

_PROTOCOLS = {6: "tcp", 17: "udp"}


def show(folder: Path, *, follow: bool, tail: int | None, json_: bool) -> None:
    """Print the records of the testbed that has this folder, the oldest first; with `follow`, go on until Ctrl-C."""
    file = file_in(folder)
    found: Iterable[Json] = file.follow() if follow else file.read()
    if tail is not None and not follow:
        found = deque(found, tail)
    for entry in found:
        sys.stdout.write((json.dumps(entry) if json_ else line(entry)) + "\n")
        sys.stdout.flush()


def line(entry: Json) -> str:
    """A record in one line."""
    payload = entry["jsonPayload"]
    rule, flow = payload["rule_details"], payload["connection"]
    protocol = _PROTOCOLS.get(flow["protocol"], flow["protocol"])
    return (
        f"{entry['timestamp']} {payload['disposition']:7} {rule['direction']:7} {rule['reference']}"
        f" {flow['src_ip']}:{flow['src_port']} -> {flow['dest_ip']}:{flow['dest_port']} {protocol}"
    )
