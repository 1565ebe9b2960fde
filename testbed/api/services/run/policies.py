"""IAM policies of services and jobs: kept, and without effect, for everybody may call everything."""

from __future__ import annotations

from testbed.api.calls.call import Call
from testbed.api.services import iampolicy
from testbed.api.services.functions.records import KIND as FUNCTIONS
from testbed.api.services.run import names
from testbed.api.services.run.names import JOBS, SERVICES


def _owner(call: Call) -> str:
    """The full name of the resource that a call is about."""
    name = names.full(call, call.text("resource"))
    if call.plane.find(FUNCTIONS, name.replace("/services/", "/functions/")):
        return name  # at Google, a function is a service
    return names.record(call, JOBS if "/jobs/" in name else SERVICES, name).name


for _collection in ("services", "jobs"):
    iampolicy.register("run.v1 run.v2", f"projects.locations.{_collection}", _owner)
