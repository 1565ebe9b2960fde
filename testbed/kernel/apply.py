"""Makes a plan true in the kernel."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from testbed.errors import Internal, NotFound
from testbed.fabric.plan import Namespace, Plan
from testbed.kernel import firewall, links, netlink, queueing, queueing_messages, routing, routing_messages, sysctl
from testbed.kernel.change import KernelChange, KernelStep
from testbed.kernel.namespace import inside

T = TypeVar("T")

_ROUNDS = 3
"""The kernel removes what depends on something that is removed (an address's routes, say); the next round mends it."""


@dataclass(frozen=True, slots=True)
class NamespaceState:
    """What one namespace is like."""

    links: links.Links
    qdiscs: queueing.State
    routing: routing_messages.Routing
    firewall: firewall.FirewallState
    sysctls: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Task:
    """Changes that are made together, by an action inside their namespace."""

    changes: Sequence[KernelChange]
    action: Callable[[], None]


Phase = Mapping[str, Sequence[Task]]
"""Tasks by namespace: one namespace's are done in order, different namespaces' at the same time."""


def difference(plan: Plan, paths: Mapping[str, str]) -> list[KernelChange]:
    """What `apply` would change.  `paths` says where each namespace of the plan is."""
    return _changes(_phases(plan, paths, _read(plan.namespaces, paths)))


def apply(plan: Plan, paths: Mapping[str, str], only: Collection[str] | None = None) -> list[KernelChange]:
    """Makes the plan true, and returns what had to be changed; the kernel has been read back and is as planned.

    Changes only what differs, so that a second call returns nothing, and one after an accident repairs the damage.
    With `only`, the other namespaces are taken to be as planned, and are not looked at.

    Raises:
        NotFound: a namespace does not exist.
        Internal: the kernel refused something (what was done before stays, and calling again goes on from there), or
            what it says it has keeps differing from the plan.
    """
    made: list[KernelChange] = []
    states = _read([space for space in plan.namespaces if only is None or space.name in only], paths)
    for _ in range(_ROUNDS):
        phases = _phases(plan, paths, states)
        for phase in phases:
            _each({name: partial(_perform, tasks) for name, tasks in phase.items()}, paths)
            made += _changes([phase])
        touched = {name for phase in phases for name in phase}
        if not touched:
            return made
        states |= _read([space for space in plan.namespaces if space.name in touched], paths)
    if left := _changes(_phases(plan, paths, states)):
        raise Internal(f"kernel: it still differs from the plan after {_ROUNDS} attempts; first difference: {left[0]}")
    return made


def adjust(before: Namespace, space: Namespace, path: str) -> None:
    """Makes firewall and routing of one namespace as planned, in this order; its devices are as planned already.

    What is planned as it was `before`, when it was last made true, is not looked at.

    Raises:
        NotFound: the namespace does not exist.
        Internal: the kernel refused something.
    """

    def act() -> None:
        if (space.sets, space.tables) != (before.sets, before.tables):
            update = firewall.Update(space, firewall.read(space, before.sets))
            if update.changes:
                update.make()
        if (wanted := routing_messages.wanted(space)) != routing_messages.wanted(before):
            actual = routing_messages.parse(netlink.read(), node=space.node)
            netlink.perform([*routing.steps(space.name, wanted, actual)])

    inside(path, act)


def _read(spaces: Iterable[Namespace], paths: Mapping[str, str]) -> dict[str, NamespaceState]:
    return _each({space.name: partial(_state, space) for space in spaces}, paths)


def _state(space: Namespace) -> NamespaceState:
    """The state of the calling thread's namespace, as far as the plan for it manages it."""
    dump = netlink.read()
    return NamespaceState(
        links.parse(dump.links, dump.addresses),
        queueing_messages.parse(dump),
        routing_messages.parse(dump, node=space.node),
        firewall.read(space),
        sysctl.read([*sysctl.IMPLIED, *space.sysctls]),
    )


def _phases(plan: Plan, paths: Mapping[str, str], states: Mapping[str, NamespaceState]) -> list[Phase]:
    """All that turns the states into the plan.

    The firewall comes first, so that no packet passes through a device that is not guarded yet.
    """
    wiring = links.wire(plan, {name: state.links for name, state in states.items()}, paths)
    guard: dict[str, list[Task]] = {}
    finish: dict[str, list[Task]] = {}
    for space in plan.namespaces:
        if (name := space.name) not in states:
            continue
        state = states[name]
        values = sysctl.missing(space.sysctls, state.sysctls)
        late = {key: value for key, value in values.items() if sysctl.of_device(key)}
        early = {key: value for key, value in values.items() if key not in late}
        update = firewall.Update(space, state.firewall)
        steps = [*wiring.adjust[name], *queueing.steps(space, state.qdiscs)]
        steps += routing.steps(name, routing_messages.wanted(space), state.routing)
        guard[name] = [*_sysctl_tasks(name, early), *([Task(update.changes, update.make)] if update.changes else [])]
        finish[name] = [*_netlink_tasks(steps), *_sysctl_tasks(name, late)]
    remove = {name: _netlink_tasks(steps) for name, steps in wiring.remove.items()}
    make = {name: _netlink_tasks(steps) for name, steps in wiring.make.items()}
    return [{name: tasks for name, tasks in phase.items() if tasks} for phase in (guard, remove, make, finish)]


def _netlink_tasks(steps: Sequence[KernelStep]) -> list[Task]:
    return [Task([step.change for step in steps if step.reported], partial(netlink.perform, steps))] if steps else []


def _sysctl_tasks(namespace: str, values: Mapping[str, str]) -> list[Task]:
    changes = [KernelChange(namespace, "replace", "sysctl", f"{name} = {value}") for name, value in values.items()]
    return [Task(changes, partial(sysctl.write, values))] if values else []


def _changes(phases: Iterable[Phase]) -> list[KernelChange]:
    return [change for phase in phases for tasks in phase.values() for task in tasks for change in task.changes]


def _perform(tasks: Sequence[Task]) -> None:
    for task in tasks:
        task.action()


def _each(actions: Mapping[str, Callable[[], T]], paths: Mapping[str, str]) -> dict[str, T]:
    """The result of each action in its namespace; as many at a time as there are processors."""
    if missing := actions.keys() - paths.keys():
        raise NotFound(f"network namespaces: none is known for {', '.join(sorted(missing))}")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        futures = {name: pool.submit(inside, paths[name], action) for name, action in actions.items()}
        return {name: future.result() for name, future in futures.items()}
