"""IAM policies of functions: kept, and without effect, for everybody may call everything."""

from __future__ import annotations

from testbed.api.calls.call import Call
from testbed.api.services import iampolicy
from testbed.api.services.functions.records import KIND
from testbed.errors import GoogleText, NotFound


def _function(call: Call) -> str:
    """The full name of the function that a call is about."""
    name = call.text("resource")
    if call.plane.find(KIND, name) is None:
        raise NotFound(GoogleText(f"Resource '{name}' was not found"), reason="notFound")
    return name


iampolicy.register("cloudfunctions.v1 cloudfunctions.v2", "projects.locations.functions", _function)
