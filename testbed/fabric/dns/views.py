"""Puts the views together: what each network sees, and what those see who are in none.

A private zone goes before what is public under the same name, and the zone with the longest name before all others, as
Google resolves names.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from testbed.fabric.allocation.keys import AddressKey
from testbed.fabric.dns import internal, managed, public
from testbed.fabric.dns.zones import Forwarded, RecordSet, View, Zone, closest
from testbed.fabric.inventory import Participant
from testbed.model.topology import Topology


def for_network(
    topology: Topology, addresses: Mapping[AddressKey, str], participants: Iterable[Participant], network: str
) -> View:
    """What a network sees, of all participants in networks."""
    there = [one for one in participants if one.network == network]
    pointers = internal.pointers(there)
    own = [*internal.zones(there), *internal.reverse_zones(pointers)]
    private = [*managed.private(topology, addresses, network, pointers)]
    return _view(
        network,
        (addresses[AddressKey.name_server(network)],),
        [*public.zones(), *managed.public(topology), *own, *(one for one in private if isinstance(one, Zone))],
        [one for one in private if isinstance(one, Forwarded)],
    )


def for_nobody(topology: Topology, addresses: Sequence[str]) -> View:
    """What is seen from outside all networks."""
    return _view("public", tuple(addresses), [*public.zones(), *managed.public(topology)])


def _view(name: str, addresses: tuple[str, ...], zones: Iterable[Zone], forwarded: Iterable[Forwarded] = ()) -> View:
    """A view of these zones; of several with one name the last one counts.

    A name that the server answers for itself is not asked for elsewhere, unless its zone delegates it (RFC 1034,
    section 4.3.2), so each zone that is forwarded is delegated by the one above.
    """
    by_name = {zone.name: zone for zone in zones}
    others = {zone.name: zone for zone in forwarded}
    for one in others.values():
        by_name.pop(one.name, None)
    for one in others.values():
        above = closest(one.name, by_name)
        if above is not None:
            delegation = RecordSet(one.name, "NS", (f"ns.{one.name}",))
            by_name[above] = replace(by_name[above], records=(*by_name[above].records, delegation))
    title = f"{name.rpartition('/')[2]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    return View(title, addresses, tuple(by_name.values()), tuple(others.values()))
