"""One page of a list of v2."""

from __future__ import annotations

from testbed.api.calls.call import Call
from testbed.api.contract import listing
from testbed.json_object import Json

_MOST = 1000


def page(call: Call, field: str, found: list[Json], above: str, *, order_by: str = "") -> Json:
    """The answer of a list method whose items are in `field`."""
    part = listing.page(
        found,
        size=call.number("pageSize"),
        token=call.text("pageToken"),
        collection=above,
        maximum=_MOST,
        order_by=order_by,
    )
    return part.answer(field)
