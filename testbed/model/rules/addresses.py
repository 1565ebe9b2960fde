"""The rules of external addresses."""

from __future__ import annotations

from collections.abc import Iterator

from testbed.errors import GoogleText
from testbed.model.core.annotations import Path
from testbed.model.core.problem import Problem
from testbed.model.topology import Topology


def problems(topology: Topology) -> Iterator[Problem]:
    """Addresses on the internet are unique; an instance may have a reserved one."""
    c = topology.compute
    given: list[tuple[Path, str | None]] = []
    external = [(i, a) for i, a in enumerate(c.addresses) if a.address_type == "EXTERNAL"]
    given += [(("compute", "addresses", i, "address"), a.address) for i, a in external]
    given += [(("internet", "hosts", i, "address"), h.address) for i, h in enumerate(topology.internet.hosts)]
    given += [
        (("onPrem", "sites", i, "gateway", "externalAddress"), s.gateway.external_address)
        for i, s in enumerate(topology.on_prem.sites)
        if s.gateway
    ]
    given += [
        (("compute", "vpnGateways", i, "vpnInterfaces", j, "ipAddress"), one.ip_address)
        for i, gateway in enumerate(c.vpn_gateways)
        for j, one in enumerate(gateway.vpn_interfaces)
    ]
    reserved = {a.address for _, a in external}
    used_by_instances: set[str] = set()
    for i, instance in enumerate(c.instances):
        for access in instance.nic.access_configs:
            path: Path = ("compute", "instances", i, "networkInterfaces", 0, "accessConfigs", 0, "natIP")
            if access.nat_ip not in reserved or access.nat_ip in used_by_instances:
                given.append((path, access.nat_ip))
            elif access.nat_ip:
                used_by_instances.add(access.nat_ip)
    seen: set[str] = set()
    for path, address in given:
        if address in seen:
            yield Problem(path, GoogleText(f"IP '{address}' is already being used by another resource."), address)
        elif address:
            seen.add(address)
