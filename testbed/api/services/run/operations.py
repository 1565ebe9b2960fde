"""The operations of Cloud Run, as v2 prints them: their metadata is the resource as it is now."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from testbed.api.calls.call import PRINTERS, Call, serves
from testbed.api.calls.longrunning import LongRunning
from testbed.api.services.run import job_view, view
from testbed.api.services.run.names import EXECUTIONS, JOBS, REVISIONS, SERVICES
from testbed.control.accept.plane import ControlPlane
from testbed.control.state.operations import Operation
from testbed.control.state.resources import Record
from testbed.json_object import Json

View = Callable[[ControlPlane, Record], Json]
TYPES: Mapping[str, tuple[str, View]] = {
    SERVICES: ("Service", view.service),
    REVISIONS: ("Revision", view.revision),
    JOBS: ("Job", job_view.job),
    EXECUTIONS: ("Execution", job_view.execution),
}
"""The message type and the view of each kind."""


class RunOperations(LongRunning):
    """Operations about resources of several types."""

    def __call__(self, plane: ControlPlane, operation: Operation) -> Json:
        """The operation as it is now."""
        name, shown = TYPES[operation.kind]
        full = f"google.cloud.run.v2.{name}"
        record = plane.find(operation.kind, operation.target)
        about = shown(plane, record) if record else {"name": operation.target}
        typed = replace(self, metadata_type=full, metadata=lambda _: about, response_type=full, view=shown)
        return LongRunning.__call__(typed, plane, operation)


@serves("run.v1 run.v2", "projects.locations.operations.wait")
def wait(call: Call) -> Json:
    """One operation: the dispatcher has waited for its end, as long as the caller was ready to."""
    name = call.text("name")
    return PRINTERS["run.v2"](call.plane, call.plane.operation(name.rpartition("/")[2]))


PRINTERS["run.v2"] = RunOperations(
    metadata_type="google.cloud.run.v2.Service",
    metadata=lambda _: {},
    response_type="google.cloud.run.v2.Service",
    view=view.service,
)
