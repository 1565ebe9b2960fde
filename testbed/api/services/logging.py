"""Cloud Logging v2: the audit log (behaviour 5.2), the VPC firewall's (4.1.15), requests and output of workloads.

Nothing else is logged, and nothing can be written.
"""

from __future__ import annotations

from collections.abc import Iterator

from testbed.api.calls.call import Call, serves
from testbed.api.contract import filters, listing
from testbed.control.watch import workload_log
from testbed.control.watch.firewall_log import file_in
from testbed.errors import InvalidArgument
from testbed.json_object import Json

API = "logging.v2"
SIZE = 50
"""Entries on a page if the caller does not say."""
_MOST = 1000
_ORDERS = frozenset({"", "timestamp asc", "timestamp desc"})


@serves(API, "entries.list")
def entries(call: Call) -> Json:
    """The entries of some projects that pass a filter, the oldest first or the newest.

    Raises:
        InvalidArgument: the order is none of Google's, or no project is named.
    """
    body = call.body
    order = body.get("orderBy", "")
    parents = [*body.get("resourceNames", []), *(f"projects/{project}" for project in body.get("projectIds", []))]
    if order not in _ORDERS:
        raise InvalidArgument(f"order_by: must be 'timestamp asc' or 'timestamp desc', not '{order}'")
    if not parents:
        raise InvalidArgument("resource_names: must be given")
    page = listing.page(
        [entry for entry in _all(call) if _is_of(entry, parents)],
        size=body.get("pageSize", 0) or SIZE,
        token=body.get("pageToken", ""),
        maximum=_MOST,
        order_by="timestamp desc" if order.endswith("desc") else "timestamp",
        predicate=filters.logging(body.get("filter", "")),
        key=lambda entry: str(entry["insertId"]),
        collection=",".join(sorted(parents)),
    )
    answer = page.answer("entries")
    return {key: [*map(_shown, value)] if key == "entries" else value for key, value in answer.items()}


@serves(API, "logs.list", "projects.logs.list")
def logs(call: Call) -> Json:
    """The names of the logs that have entries."""
    names = {str(entry["logName"]) for entry in _all(call) if _is_of(entry, [call.text("parent")])}
    return {"logNames": sorted(names)} if names else {}


def _all(call: Call) -> Iterator[Json]:
    yield from call.audit.entries()
    yield from file_in(call.plane.store.folder).read()
    yield from workload_log.entries(call.plane.topology(), call.plane.running, call.plane.nodes)


def _shown(entry: Json) -> Json:
    """An entry as it is printed: the severity DEFAULT is not."""
    return {key: value for key, value in entry.items() if (key, value) != ("severity", "DEFAULT")}


def _is_of(entry: Json, parents: list[str]) -> bool:
    return any(str(entry["logName"]).startswith(f"{parent}/logs/") for parent in parents)
