"""Records of VPC firewall rules logging: Cloud Logging has one for each connection that a logged rule decided on.

The shape is Google's.  The location of an external address and managed instance groups are left out: nothing here knows
them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property

from testbed.fabric.allocation.running import Running
from testbed.fabric.firewall.log_details import Logged, logged
from testbed.fabric.inventory import of_network
from testbed.json_object import Json
from testbed.model.core.resource import last, segment
from testbed.model.topology import Topology

LOG = "compute.googleapis.com%2Ffirewall"


@dataclass(frozen=True, slots=True)
class LoggedConnection:
    """The five-tuple of a connection, as its first packet had it inside the network."""

    source: str
    source_port: int
    destination: str
    destination_port: int
    protocol: int


@dataclass(frozen=True, slots=True)
class _Endpoint:
    """A VM at one end of a connection."""

    instance: Json
    vpc: Json
    region: str


@dataclass(frozen=True)
class Records:
    """Writes the records of one network."""

    topology: Topology
    running: Running
    network: str
    """Its full name."""

    @cached_property
    def rules(self) -> dict[str, Logged]:
        """The logged rules, by what the kernel's log calls them."""
        return logged(self.topology, self.network)

    @cached_property
    def _endpoints(self) -> dict[str, _Endpoint]:
        return dict(self._found())

    def entry(self, name: str, connection: LoggedConnection, time: float) -> Json:
        """The log entry of the verdict of one of the rules on a connection; `time` is in seconds since 1970."""
        known = self.rules[name]
        source, destination = self._end(connection.source), self._end(connection.destination)
        mine, remote = (destination, source) if known.rule.inbound else (source, destination)
        payload: Json = {
            "connection": {
                "src_ip": connection.source,
                "src_port": connection.source_port,
                "dest_ip": connection.destination,
                "dest_port": connection.destination_port,
                "protocol": connection.protocol,
            },
            "disposition": "ALLOWED" if known.rule.action == "allow" else "DENIED",
            "rule_details": known.told(),
        }
        if known.metadata:
            for prefix, end in (("", mine), ("remote_", remote)):
                if end is not None:
                    payload |= {f"{prefix}instance": end.instance, f"{prefix}vpc": end.vpc}
        stamp = datetime.fromtimestamp(time, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        project = segment(self.network, "projects")
        labels = {"project_id": project}
        if mine is not None:
            labels |= {"location": mine.region, "subnetwork_name": mine.vpc.get("subnetwork_name", "")}
        return {
            "jsonPayload": payload,
            "timestamp": stamp,
            "receiveTimestamp": stamp,
            "logName": f"projects/{project}/logs/{LOG}",
            "resource": {"type": "gce_subnetwork", "labels": labels},
        }

    def tells_of(self, address: str) -> bool:
        """Whether a rule that was tried for an address leaves a record.

        It leaves none for an instance with Direct VPC egress, where Google has no firewall rules logging (behaviour
        7.2); the VM at the other end has its own record.
        """
        return address not in self._silent

    @cached_property
    def _silent(self) -> frozenset[str]:
        found = of_network(self.topology, self.running, self.network)
        return frozenset(one.address for one in found if one.kind == "direct")

    def vm(self, name: str, connection: LoggedConnection) -> str:
        """The address of the VM that one of the rules was tried for."""
        return connection.destination if self.rules[name].rule.inbound else connection.source

    def _end(self, address: str) -> _Endpoint | None:
        return self._endpoints.get(address)

    def _found(self) -> Iterator[tuple[str, _Endpoint]]:
        """Every VM of the network by its address: instances, those of connectors, and App Engine's flexible ones."""
        project = segment(self.network, "projects")
        for one in of_network(self.topology, self.running, self.network):
            if one.is_vm:
                name = one.node if one.kind == "flexible" else one.name
                details = {"project_id": project, "vm_name": name, "region": one.region}
                if one.kind != "flexible":
                    details["project_id"] = segment(one.owner, "projects")
                if one.kind == "vm":
                    details["zone"] = segment(one.owner, "zones")
                vpc = {"project_id": project, "vpc_name": last(self.network)}
                if one.subnetwork is not None:
                    vpc["subnetwork_name"] = last(one.subnetwork)
                yield one.address, _Endpoint(details, vpc, one.region)
