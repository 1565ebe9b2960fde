"""`google.longrunning.Operation`: how most APIs print what takes time (AIP-151)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from testbed.api.calls.clock import timestamp
from testbed.control.accept.plane import ControlPlane
from testbed.control.state.operations import Operation
from testbed.control.state.resources import Record
from testbed.json_object import Json

_TYPE = "type.googleapis.com/"
EMPTY = "google.protobuf.Empty"


def common_metadata(operation: Operation) -> Json:
    """The `OperationMetadata` that many APIs have alike: Memorystore, Network Management, Cloud Functions v2."""
    action = operation.method.rpartition(".")[2]
    ended = {"endTime": timestamp(operation.ended)} if operation.ended else {}
    return {
        "createTime": timestamp(operation.accepted),
        **ended,
        "target": operation.target,
        "verb": "update" if action == "patch" else action,
        "cancelRequested": False,
        "apiVersion": operation.api.partition(".")[2],
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class LongRunning:
    """The operations of one version of an API."""

    metadata_type: str
    """The message type of `metadata`: `google.cloud.vpcaccess.v1.OperationMetadata`."""
    metadata: Callable[[Operation], Json]
    """Its fields.  Clients parse them strictly: one that the type has not is an error of theirs."""
    response_type: str
    """The message type of the resource that an operation is about."""
    view: Callable[[ControlPlane, Record], Json]
    """The resource, as this version prints it."""
    parent: Callable[[Operation], str] = lambda operation: "/".join(operation.target.split("/")[:4])
    """What an operation's name begins with: `projects/P/locations/L`."""

    def __call__(self, plane: ControlPlane, operation: Operation) -> Json:
        """The operation as it is now."""
        result: Json = {
            "name": self.name(operation),
            "done": operation.done,
            "metadata": {"@type": _TYPE + self.metadata_type, **self.metadata(operation)},
        }
        if operation.error:
            result["error"] = operation.error
        elif operation.done:
            result["response"] = self._response(plane, operation)
        return result

    def name(self, operation: Operation) -> str:
        """The operation's full name."""
        parent = self.parent(operation)
        return f"{parent}/operations/{operation.id}" if parent else f"operations/{operation.id}"

    def _response(self, plane: ControlPlane, operation: Operation) -> Json:
        if operation.result is not None:
            return operation.result
        body = next((c.body for c in operation.changes if c.name == operation.target), None)
        if body is None:
            return {"@type": _TYPE + EMPTY}
        record = plane.find(operation.kind, operation.target) or Record(operation.kind, operation.target, body)
        found = replace(record, body=body, effective=body, pending="", deleting=False)  # as it was when this was done
        return {"@type": _TYPE + self.response_type, **self.view(plane, found)}
