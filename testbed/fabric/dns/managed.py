"""The zones of Cloud DNS: what each is to the name server."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from testbed.fabric.allocation.keys import AddressKey
from testbed.fabric.dns.zones import Forwarded, RecordSet, Zone, within
from testbed.model.managed.dns import ManagedZone
from testbed.model.managed.dns_records import SERVED, canonical
from testbed.model.topology import Topology

_APEX = ("SOA", "NS")


def public(topology: Topology) -> Iterator[Zone]:
    """The zones that everybody sees."""
    for zone in topology.dns.managed_zones:
        if zone.visibility == "PUBLIC":
            yield _own(topology, zone)


def private(
    topology: Topology, addresses: Mapping[AddressKey, str], network: str, pointers: Iterable[RecordSet]
) -> Iterator[Zone | Forwarded]:
    """The private zones that a network sees; `pointers` are the PTR records of its VMs.

    A peering zone's names are asked for at the address of the other network's view, as by the server itself.  If that
    network is not there, or is this one, there are none.
    """
    for zone in topology.dns.managed_zones:
        if network not in zone.networks:
            continue
        if zone.forwarding_config is not None:
            servers = zone.forwarding_config.target_name_servers
            yield Forwarded(zone.dns_name, tuple(server.ipv4_address for server in servers))
        elif zone.peering_config is not None:
            target = zone.peering_config.target_network.network_url
            known = addresses.get(AddressKey.name_server(target))
            yield Forwarded(zone.dns_name, (known,)) if known and target != network else Zone(zone.dns_name)
        elif zone.reverse_lookup_config is not None:
            yield Zone(zone.dns_name, tuple(record for record in pointers if within(record.name, zone.dns_name)))
        else:
            yield _own(topology, zone)


def _own(topology: Topology, zone: ManagedZone) -> Zone:
    """A zone with records of its own; its SOA and NS are the server's."""
    return Zone(
        zone.dns_name,
        tuple(
            RecordSet(
                record.name, record.type, tuple(canonical(record.type, data) for data in record.rrdatas), record.ttl
            )
            for record in topology.dns.resource_record_sets
            if record.managed_zone == zone.full_name
            and record.type in SERVED
            and record.rrdatas
            and not (record.type in _APEX and record.name == zone.dns_name)
        ),
    )
