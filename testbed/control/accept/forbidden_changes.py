"""Which changes of a running testbed Google would refuse."""

from __future__ import annotations

from testbed.errors import InvalidArgument
from testbed.model.serverless.connector import Connector
from testbed.model.topology import Topology

_IMMUTABLE = ("network", "ip_cidr_range", "subnet")


def check(old: Topology | None, new: Topology) -> None:
    """Refuse a topology that the present one cannot be changed to.

    Raises:
        InvalidArgument: it changes what a connector cannot change (behaviour 1.8.1), or takes instances away (1.8.2).
    """
    before = {connector.name: connector for connector in old.vpcaccess.connectors} if old else {}
    for connector in new.vpcaccess.connectors:
        present = before.get(connector.name)
        if present is not None:
            _check(present, connector)


def _check(present: Connector, wanted: Connector) -> None:
    hint = "give the new connector another name, move the services to it, then remove the old one"  # behaviour 1.8.2
    for name in _IMMUTABLE:
        if getattr(present, name) != getattr(wanted, name):
            field = type(wanted).model_fields[name].alias
            raise InvalidArgument(f"connector {wanted.id}: {field} cannot be changed", hint=hint)  # behaviour 1.8.1
    if wanted.min_instances < present.min_instances or wanted.max_instances < present.max_instances:
        raise InvalidArgument(
            f"connector {wanted.id}: Decreasing the number of instances for existing connectors is not supported"
            f" (from {present.min_instances}..{present.max_instances}"
            f" to {wanted.min_instances}..{wanted.max_instances})",
            hint=hint,
        )
