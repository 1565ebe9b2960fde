"""Record sets: what one may be, and what a zone's may be together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from testbed.api.services.dns import faults
from testbed.json_object import Json
from testbed.model.managed.dns_records import DNS_NAME, TYPES, is_data

Key = tuple[str, str]
"""Name and type."""
Records = Mapping[Key, Json]

APEX = ("SOA", "NS")
"""What every zone has at its own name, from its beginning to its end."""
NAME_SERVERS: Mapping[str, tuple[str, ...]] = {
    "public": tuple(f"ns-cloud-a{number}.googledomains.com." for number in (1, 2, 3, 4)),
    "private": ("ns-gcp-private.googledomains.com.",),
}


def key_of(record: Json) -> Key:
    """What tells a record set from others of its zone."""
    return str(record["name"]), str(record["type"])


def title(record: Json) -> str:
    """How messages name a record set."""
    return "{} ({})".format(*key_of(record))


def initial(dns_name: str, visibility: str) -> list[Json]:
    """What a new zone has: SOA and NS (as Google's zones have them, recalled)."""
    servers = NAME_SERVERS[visibility]
    soa = f"{servers[0]} cloud-dns-hostmaster.google.com. 1 21600 3600 259200 300"
    return [
        {"name": dns_name, "type": "NS", "ttl": 21600, "rrdatas": list(servers)},
        {"name": dns_name, "type": "SOA", "ttl": 21600, "rrdatas": [soa]},
    ]


def checked(record: Json, entity: str, dns_name: str) -> Json:
    """A record set that a zone can have.

    Raises:
        InvalidArgument: it cannot.
    """
    for field in ("name", "type"):
        if not record.get(field):
            raise faults.required(f"{entity}.{field}")
    name, kind = key_of(record)
    if not DNS_NAME.fullmatch(name) or not (name == dns_name or name.endswith(f".{dns_name}")):
        raise faults.invalid(f"{entity}.name", name)
    if kind not in TYPES:
        raise faults.invalid(f"{entity}.type", kind)
    if not 0 <= record.setdefault("ttl", 0) < 1 << 31:
        raise faults.invalid(f"{entity}.ttl", record["ttl"])
    values = record.get("rrdatas", [])
    if bool(values) == ("routingPolicy" in record):
        raise faults.required(f"{entity}.rrdata")
    for index, value in enumerate(values):
        if not is_data(kind, value) or (kind == "CNAME" and index):
            raise faults.invalid(f"{entity}.rrdata[{index}]", value)
    return {name: value for name, value in record.items() if name not in {"kind", "signatureRrdatas"}}


def changed(
    present: Records,
    additions: Sequence[Json],
    deletions: Sequence[Json],
    dns_name: str,
    entity: str,
) -> dict[Key, Json]:
    """The record sets of a zone after a change.

    Raises:
        NotFound, FailedPrecondition, AlreadyExists, InvalidArgument: it cannot be changed so.
    """
    result = dict(present)
    for index, record in enumerate(deletions):
        place = f"{entity}.deletions[{index}]"
        known = result.pop(key_of(record), None)
        if known is None:
            raise faults.absent(place, title(record))
        if _content(known) != _content(record):
            raise faults.differs(place)
    for index, record in enumerate(additions):
        if result.setdefault(key_of(record), record) is not record:
            raise faults.taken(f"{entity}.additions[{index}]", title(record))
    for index, record in enumerate(additions):
        kinds = {kind for name, kind in result if name == record["name"]}
        if "CNAME" in kinds and len(kinds) > 1:
            raise faults.alias(f"{entity}.additions[{index}]", record["name"])
    for index, record in enumerate(deletions):
        if record["type"] in APEX and record["name"] == dns_name and key_of(record) not in result:
            raise faults.apex(f"{entity}.deletions[{index}]", record["type"])
    return result


def _content(record: Json) -> tuple[object, ...]:
    """What a deletion must say of a record set: all of it, the data in any order."""
    return record.get("ttl", 0), sorted(record.get("rrdatas", [])), record.get("routingPolicy")
