"""google-cloud-compute, unmodified: instances, managed groups, classic VPN."""

from __future__ import annotations

import pytest
from google.api_core import exceptions
from google.cloud import compute_v1 as compute

from tests.clients.conftest import PROJECT, Connect, Served

ZONE = {"project": PROJECT, "zone": "us-central1-a"}
REGION = {"project": PROJECT, "region": "us-central1"}
SUBNET = "regions/us-central1/subnetworks/us"


@pytest.fixture
def connect(served: Served, connect_proxied: Connect) -> Connect:
    served.network()
    served.post(
        f"compute/v1/projects/{PROJECT}/regions/us-central1/subnetworks",
        {
            "name": "us",
            "network": "global/networks/vpc",
            "ipCidrRange": "10.0.0.0/24",
        },
    )
    return connect_proxied


def disk(connect: Connect) -> compute.AttachedDisk:
    """As Google's samples make it."""
    image = connect(compute.ImagesClient).get_from_family(project="debian-cloud", family="debian-12")
    parameters = compute.AttachedDiskInitializeParams(
        source_image=image.self_link, disk_size_gb=10, disk_type="zones/us-central1-a/diskTypes/pd-standard"
    )
    return compute.AttachedDisk(boot=True, auto_delete=True, initialize_params=parameters)


def test_the_life_of_an_instance(connect: Connect) -> None:
    instances = connect(compute.InstancesClient)
    access = compute.AccessConfig(type_="ONE_TO_ONE_NAT", name="External NAT", network_tier="PREMIUM")
    nic = compute.NetworkInterface(network="global/networks/vpc", subnetwork=SUBNET, access_configs=[access])
    body = compute.Instance(
        name="vm",
        machine_type="zones/us-central1-a/machineTypes/e2-small",
        disks=[disk(connect)],
        network_interfaces=[nic],
        tags=compute.Tags(items=["web"]),
    )
    instances.insert(**ZONE, instance_resource=body).result()
    made = instances.get(**ZONE, instance="vm")
    assert (made.status, made.network_interfaces[0].network_i_p) == ("RUNNING", "10.0.0.2")
    assert made.network_interfaces[0].access_configs[0].nat_i_p
    instances.set_tags(
        **ZONE, instance="vm", tags_resource=compute.Tags(items=["db"], fingerprint=made.tags.fingerprint)
    ).result()
    assert list(instances.get(**ZONE, instance="vm").tags.items) == ["db"]
    with pytest.raises(exceptions.PreconditionFailed):
        instances.set_tags(**ZONE, instance="vm", tags_resource=compute.Tags(fingerprint=made.tags.fingerprint))
    instances.stop(**ZONE, instance="vm").result()
    assert instances.get(**ZONE, instance="vm").status == "TERMINATED"
    instances.start(**ZONE, instance="vm").result()
    instances.delete(**ZONE, instance="vm").result()
    assert list(instances.list(**ZONE)) == []


def test_a_managed_group(connect: Connect) -> None:
    properties = compute.InstanceProperties(
        machine_type="e2-small", disks=[disk(connect)], network_interfaces=[compute.NetworkInterface(subnetwork=SUBNET)]
    )
    template = compute.InstanceTemplate(name="t", properties=properties)
    connect(compute.InstanceTemplatesClient).insert(project=PROJECT, instance_template_resource=template).result()
    managers = connect(compute.InstanceGroupManagersClient)
    body = compute.InstanceGroupManager(name="g", instance_template="global/instanceTemplates/t", target_size=1)
    managers.insert(**ZONE, instance_group_manager_resource=body).result()
    managers.resize(**ZONE, instance_group_manager="g", size=2).result()
    listed = list(managers.list_managed_instances(**ZONE, instance_group_manager="g"))
    assert [one.current_action for one in listed] == ["NONE", "NONE"]
    managers.delete(**ZONE, instance_group_manager="g").result()
    assert list(connect(compute.InstancesClient).list(**ZONE)) == []


def test_classic_vpn(connect: Connect) -> None:
    addresses = connect(compute.AddressesClient)
    addresses.insert(**REGION, address_resource=compute.Address(name="ip")).result()
    gateway = compute.TargetVpnGateway(name="gw", network="global/networks/vpc")
    connect(compute.TargetVpnGatewaysClient).insert(**REGION, target_vpn_gateway_resource=gateway).result()
    rules = connect(compute.ForwardingRulesClient)
    for protocol, port in (("ESP", None), ("UDP", "500"), ("UDP", "4500")):
        rule = compute.ForwardingRule(
            name=f"r{port or ''}",
            I_p_address=addresses.get(**REGION, address="ip").address,
            I_p_protocol=protocol,
            port_range=port,
            target="regions/us-central1/targetVpnGateways/gw",
        )
        rules.insert(**REGION, forwarding_rule_resource=rule).result()
    tunnels = connect(compute.VpnTunnelsClient)
    tunnel = compute.VpnTunnel(
        name="t",
        target_vpn_gateway="regions/us-central1/targetVpnGateways/gw",
        peer_ip="203.0.113.50",
        shared_secret="sixteen-chars-xx",
        ike_version=2,
    )
    tunnels.insert(**REGION, vpn_tunnel_resource=tunnel).result()
    made = tunnels.get(**REGION, vpn_tunnel="t")
    assert (made.status, made.shared_secret) == ("FIRST_HANDSHAKE", "*************")
