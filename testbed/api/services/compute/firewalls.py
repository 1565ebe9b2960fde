"""VPC firewall rules (behaviour 4.1)."""

from __future__ import annotations

from testbed.api.call import Call
from testbed.api.discovery import Json
from testbed.api.services.compute.collection import Collection

ANYWHERE = "0.0.0.0/0"


def complete(body: Json, _: Call) -> Json:
    """A rule with the defaults that Google fills in."""
    result = {
        "network": "global/networks/default", "direction": "INGRESS", "priority": 1000, "disabled": False,
        "logConfig": {"enable": False}, **body,
    }  # fmt: skip
    if (
        result["direction"] in {"INGRESS", "IN"}
        and not result.get("sourceTags")
        and not result.get("sourceServiceAccounts")
    ):
        result.setdefault("sourceRanges", [ANYWHERE])
    if result["direction"] in {"EGRESS", "OUT"}:
        result.setdefault("destinationRanges", [ANYWHERE])
    return result


FIREWALLS = Collection(
    name="firewalls", singular="firewall", scope="global", complete=complete,
    immutable=frozenset({"name", "network", "direction"}),
).register()  # fmt: skip
