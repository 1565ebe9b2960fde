"""The capacity of connectors, while a testbed runs: whether the kernel can enforce it, and how it is changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from pydantic import ValidationError

from testbed.control.lifecycle import CONNECTOR
from testbed.control.state.store import Store
from testbed.errors import Aborted, InvalidArgument, NotFound, Unimplemented
from testbed.kernel import capabilities
from testbed.model.core.faults import Fault, faults
from testbed.model.serverless.capacity import Capacity, Limits
from testbed.model.topology import Topology

_RATES = frozenset({"sch_tbf", "sch_htb", "xt_CLASSIFY"})
_NEW, _OPEN = frozenset({"xt_hashlimit"}), frozenset({"xt_connlimit"})


def require(topology: Topology) -> None:
    """See that this kernel can enforce the capacity of each connector.

    Raises:
        Unimplemented: it cannot.
    """
    for connector in topology.vpcaccess.connectors:
        capacity = topology.capacity_of(connector)
        for name in sorted(needs(capacity.limits(connector.machine_type))):
            if refusal := _refusals().get(name):
                raise Unimplemented(
                    f"connector {connector.id}: capacity {capacity} needs {name}, which this kernel lacks: {refusal}",
                    hint="see `testbed doctor`; or write `capacity: off` in the topology",
                )


def needs(limits: Limits) -> frozenset[str]:
    """The capabilities of the kernel that limits take, as `testbed doctor` names them."""
    rates = limits.megabits_per_second is not None or limits.packets_per_second is not None
    return frozenset().union(
        _RATES if rates else (),
        _NEW if limits.new_connections_per_second is not None else (),
        _OPEN if limits.connections is not None else (),
    )


@cache
def _refusals() -> Mapping[str, str]:
    """What the kernel says of each capability that it lacks."""
    wanted = _RATES | _NEW | _OPEN
    looked = {probe.name: probe.look() for probe in capabilities.PROBES if probe.name in wanted}
    return {name: found.detail for name, found in looked.items() if not found.present}


def parsed(given: Any) -> Capacity | None:
    """A capacity as a command gives it; None: what stands above it.

    Raises:
        InvalidArgument: it is none.
    """
    if given is None:
        return None
    try:
        return Capacity.model_validate(given)
    except ValidationError as error:
        raise InvalidArgument("; ".join(map(_text, faults(error, Capacity)))) from None


def _text(fault: Fault) -> str:
    where = ".".join(("capacity", *map(str, fault.path)))
    return f"{where}: {fault.rule}" if fault.shown is None else f"{where} = {fault.value!r}: {fault.rule}"


def change(store: Store, connector: str | None, capacity: Capacity | None) -> Topology:
    """Give a connector another capacity, or all that have none of their own; the topology that is then in effect.

    Raises:
        Unimplemented: this kernel cannot enforce it.
        NotFound: there is no such connector in effect.
        InvalidArgument: several have that short name.
        Aborted: an operation is under way on it.
    """
    told = None if capacity is None else capacity.model_dump(mode="json", by_alias=True)
    with store.transaction():
        if connector is None:
            store.set_capacity(told)
        else:
            _change_one(store, connector, told)
        topology = store.topology
        if topology is None:
            raise NotFound(f"testbed {store.name!r}: not finished", hint="finish it: testbed up")
        require(topology)
        return topology


def _change_one(store: Store, name: str, told: object) -> None:
    known = [record for record in store.resources.of(CONNECTOR) if record.effective is not None]
    found = [record for record in known if name in {record.name, record.id}]
    if not found:
        names = ", ".join(record.id for record in known) or "none"
        raise NotFound(f"connector {name!r}: not found (connectors: {names})")
    if len(found) > 1:
        raise InvalidArgument(
            f"connector {name!r}: several have this name", hint=f"write the full name: {found[0].name}"
        )
    (record,) = found
    if record.pending:
        raise Aborted(f"connector {name!r}: an operation is under way", hint="try again when it is over")
    bodies = [{k: v for k, v in body.items() if k != "capacity"} for body in (record.body, record.effective or {})]
    if told is not None:
        bodies = [{**body, "capacity": told} for body in bodies]
    body, effective = bodies
    store.resources.put(replace(record, body=body, effective=effective))
