"""What a workload can read about itself: `instance/`, `project/` and `universe/` of Compute Engine's metadata.

What the testbed has no counterpart of (maintenance, licences, OS Login) is not there, or says that nothing is the
matter.  Runtimes have the few entries that Google documents for them (Cloud Run's container contract).
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Network

from testbed.api.metadata.callers import Caller, CallingRuntime, Machine, attributes
from testbed.api.metadata.tree import Entry, Given, Lines, Listed, Made
from testbed.api.services.compute.names import numeric_id
from testbed.fabric.wiring import mac
from testbed.json_object import Json
from testbed.model.compute.instance import ServiceAccount
from testbed.model.core.projects import project_number
from testbed.model.core.ranges import METADATA_SERVER, gateway
from testbed.model.core.resource import last, segment

CLOUD_PLATFORM = "https://www.googleapis.com/auth/cloud-platform"
SERVERLESS_SCOPES = (CLOUD_PLATFORM, "https://www.googleapis.com/auth/userinfo.email")
"""Of tokens of runtimes (recalled)."""
TOKEN, IDENTITY = Made("token"), Made("identity")


def tree(caller: Caller) -> Entry:
    """All that a workload can read below `/computeMetadata/v1/`."""
    project = project_of(caller)
    return {
        "instance": _machine(caller) if isinstance(caller, Machine) else _runtime(caller),
        "project": {
            "attributes": Given(caller.project_attributes),
            "numeric-project-id": project_number(project),
            "project-id": project,
        },
        "universe": {"universe-domain": "googleapis.com"},
    }


def project_of(caller: Caller) -> str:
    """The id of the project that a workload belongs to."""
    return segment(caller.instance.full_name, "projects") if isinstance(caller, Machine) else caller.project


def instance_id(caller: Caller) -> int | str:
    """The number of a VM, as the API prints it; a hexadecimal one of a container instance, as Cloud Run has."""
    if isinstance(caller, Machine):
        return int(numeric_id(f"{caller.record.name}#{caller.record.number}"))
    return f"{int(numeric_id(caller.workload.name + caller.node)):032x}"


def accounts(caller: Caller) -> Mapping[str, ServiceAccount]:
    """The service accounts by their addresses; the first one is the default."""
    if isinstance(caller, Machine):
        return {account.email: account for account in caller.instance.service_accounts}
    account = ServiceAccount(email=caller.workload.account, scopes=SERVERLESS_SCOPES)
    return {account.email: account}


def _service_accounts(caller: Caller) -> Entry:
    listed: dict[str, Entry] = {
        email: {
            "aliases": Lines(("default",)),
            "email": email,
            "identity": IDENTITY,
            "scopes": Lines(account.scopes),
            "token": TOKEN,
        }
        for email, account in accounts(caller).items()
    }
    default = next(iter(listed.values()), None)
    return Given(listed if default is None else {**listed, "default": default})


def _machine(caller: Machine) -> Entry:
    body, name = caller.body, caller.instance.full_name
    number, zone = project_number(segment(name, "projects")), caller.instance.zone
    host = f"{caller.instance.name}.{zone}.c.{segment(name, 'projects')}.internal"  # behaviour 4.7.2
    scheduling = body.get("scheduling", {})
    return {
        "attributes": Given(attributes(body.get("metadata", {}))),
        "cpu-platform": "Unknown CPU Platform",
        "description": caller.instance.description,
        "disks": [_disk(index, disk) for index, disk in enumerate(body.get("disks", ()))],
        "hostname": body.get("hostname") or host,
        "id": instance_id(caller),
        "image": _image(body),
        "machine-type": f"projects/{number}/machineTypes/{last(caller.instance.machine_type)}",
        "maintenance-event": "NONE",
        "name": caller.instance.name,
        "network-interfaces": [_nic(caller)],
        "preempted": "FALSE",
        "scheduling": {
            "automatic-restart": _flag(scheduling.get("automaticRestart", True)),
            "on-host-maintenance": scheduling.get("onHostMaintenance", "MIGRATE"),
            "preemptible": _flag(scheduling.get("preemptible", False)),
        },
        "service-accounts": _service_accounts(caller),
        "tags": Listed(caller.instance.tags.items),
        "zone": f"projects/{number}/zones/{zone}",
    }


def _nic(caller: Machine) -> Entry:
    network = caller.network.full_name
    number = project_number(segment(network, "projects"))
    access = [{"external-ip": caller.external or "", "type": "ONE_TO_ONE_NAT"}]
    return {
        "access-configs": access if caller.instance.nic.access_configs else [],
        "dns-servers": Lines((str(METADATA_SERVER),)),
        "forwarded-ips": [],
        "gateway": str(gateway(caller.subnet.ip_cidr_range)),
        "ip": caller.address,
        "ip-aliases": [],
        "mac": mac(caller.address),
        "mtu": caller.network.mtu,
        "network": f"projects/{number}/networks/{last(network)}",
        "subnetmask": str(IPv4Network(caller.subnet.ip_cidr_range).netmask),
        "target-instance-ips": [],
    }


def _disk(index: int, disk: Json) -> Entry:
    return {
        "device-name": disk.get("deviceName", f"persistent-disk-{index}"),
        "index": index,
        "interface": disk.get("interface", "SCSI"),
        "mode": disk.get("mode", "READ_WRITE"),
        "type": disk.get("type", "PERSISTENT"),
    }


def _image(body: Json) -> str:
    boot: Json = next((disk for disk in body.get("disks", ()) if disk.get("boot", True)), {})
    return str(boot.get("initializeParams", {}).get("sourceImage", ""))


def _flag(value: bool) -> str:  # noqa: FBT001 - it is the value
    return "TRUE" if value else "FALSE"


def _runtime(caller: CallingRuntime) -> Entry:
    number, region = project_number(caller.project), caller.workload.region
    return {
        "id": instance_id(caller),
        "region": f"projects/{number}/regions/{region}",
        "service-accounts": _service_accounts(caller),
        "zone": f"projects/{number}/zones/{region}-1",
    }
