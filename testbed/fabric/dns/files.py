"""Writes views as files of BIND 9: its configuration, a file per zone, and what each zone's serial number is.

The serial number is a digest of the zone (of the root, of the whole view), so a reader knows whether the server
has taken it up.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping

from testbed.fabric.dns.zones import ROOT, RecordSet, View, Zone, within
from testbed.model.core.ranges import CLOUD_DNS, METADATA_SERVER

FOLDER = "/var/lib/testbed/dns"
_SERVER = "ns-gcp-private.googledomains.com."
_CONTACT = "cloud-dns-hostmaster.google.com."
_TIMES = "21600 3600 259200 300"
"""Of an SOA: refresh, retry and expire; the last one is how long a name may be known not to exist."""
_OPTIONS = f"""\
options {{
    directory "{FOLDER}";
    pid-file none;
    session-keyfile none;
    lock-file none;
    listen-on {{ {CLOUD_DNS}; }};
    listen-on-v6 {{ none; }};
    allow-query {{ any; }};
    allow-query-cache {{ any; }};
    allow-recursion {{ any; }};
    allow-transfer {{ none; }};
    recursion yes;
    qname-minimization off;
    dnssec-validation no;
    empty-zones-enable no;
    minimal-responses yes;
    notify no;
    version none;
    max-cache-size 8m;
    max-cache-ttl 0;
    max-ncache-ttl 0;
    check-names primary ignore;
    check-integrity no;
    check-dup-records ignore;
    check-mx ignore;
    check-mx-cname ignore;
    check-sibling no;
    check-spf ignore;
    check-srv-cname ignore;
    check-wildcard no;
}};
controls {{ }};
logging {{ category lame-servers {{ null; }}; }};
"""
"""It never keeps what others have answered: a change elsewhere is seen at once."""


def written(views: Iterable[View]) -> Mapping[str, str]:
    """All files of the server: path to content."""
    known = list(views)
    files = {f"{FOLDER}/named.conf": "".join([_OPTIONS, *map(_view, known)])}
    serials: list[dict[str, object]] = []
    for view in known:
        for zone in view.zones:
            files[f"{FOLDER}/{_path(view, zone)}"] = _content(view, zone)
            serials += ({"address": a, "name": zone.name, "serial": _serial(view, zone)} for a in view.addresses)
    index = {"files": sorted(files), "serials": serials}
    return {**files, f"{FOLDER}/index.json": json.dumps(index, indent=1)}


def _view(view: View) -> str:
    return "\n".join([f'view "{view.name}" {{', *_clauses(view), "};", ""])


def _clauses(view: View) -> Iterator[str]:
    yield f"    match-destinations {{ {' '.join(f'{address};' for address in view.addresses)} }};"
    yield f"    query-source address {view.addresses[0]};"
    for zone in view.zones:
        yield f'    zone "{zone.name}" {{ type primary; file "{_path(view, zone)}"; }};'
    for other in view.forwarded:
        servers = " ".join(f"{server};" for server in other.servers)
        yield f'    zone "{other.name}" {{ type forward; forward only; forwarders {{ {servers} }}; }};'


def _path(view: View, zone: Zone) -> str:
    """Where a zone is written; a name may be longer than that of a file."""
    return f"zones/{hashlib.sha256(f'{view.name} {zone.name}'.encode()).hexdigest()[:32]}"


def _serial(view: View, zone: Zone) -> int:
    content = repr(view if zone.name == ROOT else zone)
    return int.from_bytes(hashlib.sha256(content.encode()).digest()[:4]) or 1


def _content(view: View, zone: Zone) -> str:
    soa = RecordSet(zone.name, "SOA", (f"{_SERVER} {_CONTACT} {_serial(view, zone)} {_TIMES}",), 21600)
    servers = RecordSet(zone.name, "NS", (_SERVER,), 21600)
    records = [soa, servers, *sorted(zone.records, key=lambda record: (record.name, record.type))]
    if within(_SERVER, zone.name) and not any(record.name == _SERVER for record in zone.records):
        records.append(RecordSet(_SERVER, "A", (str(METADATA_SERVER),)))  # or BIND takes the zone for broken
    return f"; {'the root' if zone.name == ROOT else zone.name}\n" + "".join(
        f"{record.name} {record.ttl} IN {record.type} {data}\n" for record in records for data in record.data
    )
