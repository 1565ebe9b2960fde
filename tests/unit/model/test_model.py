"""Resources of Google's APIs: spelling, references, defaults, and the rules of each kind."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Any

import pytest
from pydantic import ValidationError

from testbed.model.compute.firewall import Firewall
from testbed.model.compute.instance import Instance
from testbed.model.compute.network import Address, Network, Route, Subnetwork
from testbed.model.compute.router import Router
from testbed.model.core.problem import Inconsistent
from testbed.model.core.resource import Defaults, qualify, relative, segment
from testbed.model.hybrid.vpn import ForwardingRule
from testbed.model.rules.consistency import omissions
from testbed.model.topology import Topology
from tests.unit import topologies
from tests.unit.topologies import KNOWN, Data, compute, connector, network, service, small, subnet, topology, vm

RULE = {"name": "r", "network": "vpc"}
ROUTE = {"name": "r", "network": "vpc", "destRange": "10.9.0.0/16"}


def firewall(**fields: Any) -> Firewall:
    return Firewall.model_validate({**RULE, **fields}, context=KNOWN)


def route(**fields: Any) -> Route:
    return Route.model_validate({**ROUTE, **fields}, context=KNOWN)


def problems(**apis: Any) -> list[str]:
    """What is said of a small topology with these APIs: why it cannot be, or what it lacks."""
    try:
        found = list(omissions(small(**apis)))
    except Inconsistent as caught:
        found = caught.problems
    return [f"{'.'.join(map(str, problem.path))}: {problem.message}" for problem in found]


# -- names and references -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "written",
    [
        "us",
        "regions/us-central1/subnetworks/us",
        "projects/p/regions/us-central1/subnetworks/us",
        "https://www.googleapis.com/compute/v1/projects/p/regions/us-central1/subnetworks/us",
        "https://compute.googleapis.com/compute/beta/projects/p/regions/us-central1/subnetworks/us",
    ],
)
def test_a_reference_is_a_short_name_a_path_or_a_self_link(written: str) -> None:
    assert qualify(written, "regions/-/subnetworks", KNOWN) == "projects/p/regions/us-central1/subnetworks/us"


@pytest.mark.parametrize("written", ["global/networks/us", "regions/us-central1/networks/us", "a/b/c/d", "us/"])
def test_a_reference_to_another_kind_of_resource_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="is not a reference to regions/REGION/subnetworks/NAME"):
        qualify(written, "regions/-/subnetworks", KNOWN)


def test_a_short_name_needs_a_default_region() -> None:
    with pytest.raises(ValueError, match="'us' has no region: write it as regions/REGION/subnetworks/us"):
        qualify("us", "regions/-/subnetworks", Defaults("p"))


def test_self_links_keep_their_project() -> None:
    link = "https://www.googleapis.com/compute/v1/projects/other/global/networks/vpc"
    made = Network.model_validate({"name": "vpc", "selfLink": link}, context=KNOWN)
    assert made.full_name == "projects/other/global/networks/vpc"
    assert relative(link) == made.full_name
    assert segment(made.full_name, "projects") == "other"


def test_the_scope_comes_from_the_defaults_or_a_url() -> None:
    region = "https://www.googleapis.com/compute/v1/projects/p/regions/europe-west1"
    assert Subnetwork.model_validate(subnet(), context=KNOWN).region == "us-central1"
    there = Subnetwork.model_validate(subnet(region=region), context=KNOWN)
    assert there.full_name == "projects/p/regions/europe-west1/subnetworks/us"
    made = Instance.model_validate(vm("a", zone="europe-west1-b"), context=KNOWN)
    assert (made.region, made.full_name) == ("europe-west1", "projects/p/zones/europe-west1-b/instances/a")


@pytest.mark.behaviour("4.1.2")
@pytest.mark.parametrize("name", ["a", "a" * 63, "a-1"])
def test_compute_names(name: str) -> None:
    assert Network.model_validate({"name": name}, context=KNOWN).name == name


@pytest.mark.behaviour("4.1.2")
@pytest.mark.parametrize("name", ["", "A", "1a", "a-", "a" * 64, "a.b", "a\n"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="Must be a match of regex"):
        Network.model_validate({"name": name}, context=KNOWN)


# -- spelling -------------------------------------------------------------------------------------------------------


def test_gclouds_flags_and_values_are_read() -> None:
    flags = {
        "name": "r",
        "network": "vpc",
        "direction": "IN",
        "allow": "tcp:80,tcp:8000-8080,udp,icmp",
        "source-ranges": ["10.0.0.0/8"],
        "target-tags": ["web"],
    }
    fields = {
        "allowed": [{"IPProtocol": "tcp", "ports": ["80", "8000-8080"]}, {"IPProtocol": "udp"}, {"IPProtocol": "icmp"}],
        "sourceRanges": ["10.0.0.0/8"],
        "targetTags": ["web"],
    }
    assert Firewall.model_validate(flags, context=KNOWN) == firewall(**fields)


def test_flags_whose_field_has_capitals_are_read() -> None:
    rule = {"name": "f", "ip-address": "a", "ip-protocol": "udp", "port-range": 500, "target": "g"}
    made = ForwardingRule.model_validate(rule, context=KNOWN)
    assert (made.ip_address, made.ip_protocol, made.port_range) == (
        "projects/p/regions/us-central1/addresses/a",
        "UDP",
        "500",
    )


def test_subnet_mode_is_auto_or_custom() -> None:
    for mode, auto in {"auto": True, "custom": False}.items():
        made = Network.model_validate({"name": "n", "subnet-mode": mode}, context=KNOWN)
        assert made.auto_create_subnetworks is auto


@pytest.mark.behaviour("4.4.8")
def test_a_legacy_network_has_no_subnets() -> None:
    legacy = {"name": "n", "IPv4Range": "10.240.0.0/16"}
    assert Network.model_validate(legacy, context=KNOWN).legacy
    with pytest.raises(ValidationError, match="neither subnets nor peerings"):
        Network.model_validate({**legacy, "subnet-mode": "auto"}, context=KNOWN)


def test_one_field_in_two_spellings_is_an_error() -> None:
    with pytest.raises(ValidationError, match="range is another spelling of ipCidrRange, which is given as well"):
        Subnetwork.model_validate(subnet(range="10.1.0.0/16"), context=KNOWN)


@pytest.mark.parametrize("key", ["colour", "ip_cidr_range", "ipcidrrange"])
def test_unknown_keys_are_errors(key: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Subnetwork.model_validate(subnet(**{key: "x"}), context=KNOWN)
    assert [(e["type"], e["loc"]) for e in caught.value.errors()] == [("extra_forbidden", (key,))]


@pytest.mark.behaviour("3.1")
@pytest.mark.parametrize(
    ("written", "read"),
    [("private-ranges-only", "PRIVATE_RANGES_ONLY"), ("all-traffic", "ALL_TRAFFIC"), ("all", "ALL_TRAFFIC")],
)
def test_egress_settings_in_gclouds_spelling(written: str, read: str) -> None:
    (workload,) = small(run={"services": [service("web", egress=written)]}).workloads
    assert workload.egress == read


@pytest.mark.behaviour("1.12.1", "3.1")
def test_app_engines_names_of_egress_settings_and_regions() -> None:
    for setting, egress in (("PRIVATE_IP_RANGES", "PRIVATE_RANGES_ONLY"), ("all-traffic", "ALL_TRAFFIC")):
        version = {
            "name": "apps/p/services/default/versions/v1",
            "deployment": {"zip": {"sourceUrl": "app"}},
            "vpcAccessConnector": {"name": "c1", "egressSetting": setting},
        }
        app = {"application": {"id": "p", "locationId": "us-central"}, "versions": [version]}
        (workload,) = small(run={}, appengine=app).workloads
        assert (workload.egress, workload.region, workload.id) == (egress, "us-central1", "p")


def test_ranges_are_written_one_way() -> None:
    assert route(destRange="10.9.0.0/255.255.0.0", nextHopIp="10.128.0.9").dest_range == "10.9.0.0/16"
    assert route(destRange="10.9.0.1", nextHopIp="10.128.0.9").dest_range == "10.9.0.1/32"


def test_a_topology_survives_being_written_down() -> None:
    whole = topologies.example()
    text = whole.model_dump_json(by_alias=True, exclude_defaults=True)
    assert Topology.model_validate_json(text, context=Defaults("demo-project", "us-central1", "us-central1-a")) == whole


# -- rules of one resource --------------------------------------------------------------------------------------------


@pytest.mark.behaviour("4.1.4")
@pytest.mark.parametrize("priority", [0, 65535])
def test_priorities(priority: int) -> None:
    assert firewall(priority=priority, allow=["all"]).priority == priority


@pytest.mark.behaviour("4.1.3", "4.1.4")
def test_a_rules_defaults() -> None:
    made = firewall(denied=[{"IPProtocol": "tcp"}])
    assert (made.direction, made.priority, made.disabled, made.allows) == ("INGRESS", 1000, False, False)


@pytest.mark.parametrize(
    ("fields", "rule"),
    [
        ({}, "exactly one of allowed and denied"),  # 4.1.8
        ({"allow": ["tcp"], "deny": ["udp"]}, "exactly one of allowed and denied"),
        ({"allow": ["tcp"], "priority": 65536}, "less than or equal to 65535"),  # 4.1.4
        ({"allow": ["tcp"], "priority": -1}, "greater than or equal to 0"),
        ({"allow": ["tcp:80-"]}, "Invalid port range specification"),
        ({"allow": ["tcp:90-80"]}, "Invalid port range specification"),
        ({"allow": ["tcp:65536"]}, "Invalid port range specification"),
        ({"allow": ["icmp:80"]}, "ports go with tcp, udp and sctp only"),
        ({"allow": ["quic"]}, "or a protocol number 1-255"),
        ({"allow": ["256"]}, "or a protocol number 1-255"),
        ({"allow": ["0"]}, "or a protocol number 1-255"),
        ({"allow": ["tcp"], "direction": "EGRESS", "sourceTags": ["a"]}, "an EGRESS rule cannot have"),  # 4.1.3
        ({"allow": ["tcp"], "sourceTags": ["a"], "sourceServiceAccounts": ["b"]}, "cannot be mixed"),  # 4.1.10
        ({"allow": ["tcp"], "targetTags": ["a"], "targetServiceAccounts": ["b"]}, "cannot be mixed"),  # 4.1.12
        ({"allow": ["tcp"], "sourceTags": ["a"], "targetServiceAccounts": ["b"]}, "cannot be mixed"),
        ({"allow": ["tcp"], "targetTags": ["a"], "sourceServiceAccounts": ["b"]}, "cannot be mixed"),
        ({"allow": ["tcp"], "sourceRanges": ["10.0.0.1/8"]}, "host bits set"),
        ({"allow": ["tcp"], "sourceTags": ["A"]}, "Must be a match of regex"),
    ],
)
def test_firewall_rules_that_the_api_refuses(fields: dict[str, Any], rule: str) -> None:
    with pytest.raises(ValidationError, match=rule):
        firewall(**fields)


@pytest.mark.behaviour("4.3.4")
def test_a_route_has_exactly_one_next_hop() -> None:
    assert route(nextHopGateway="default-internet-gateway").next_hop_gateway == "default-internet-gateway"
    link = "projects/p/global/gateways/default-internet-gateway"
    assert route(nextHopGateway=link).next_hop_gateway == "default-internet-gateway"
    for hops in ({}, {"nextHopIp": "10.128.0.2", "nextHopInstance": "a"}):
        with pytest.raises(ValidationError, match="exactly one of nextHopGateway"):
            route(**hops)
    with pytest.raises(ValidationError, match="must be default-internet-gateway"):
        route(nextHopGateway="another")


@pytest.mark.behaviour("4.13.1")
@pytest.mark.parametrize(
    ("nat", "rule"),
    [
        ({"natIpAllocateOption": "MANUAL_ONLY"}, "natIps must be given with MANUAL_ONLY"),
        ({"natIps": ["a"]}, "natIps must be given with MANUAL_ONLY"),
        ({"sourceSubnetworkIpRangesToNat": "LIST_OF_SUBNETWORKS"}, "subnetworks must be given with LIST_OF"),
        ({"subnetworks": [{"name": "us"}]}, "subnetworks must be given with LIST_OF"),
    ],
)
def test_cloud_nats_lists_go_with_their_options(nat: dict[str, Any], rule: str) -> None:
    with pytest.raises(ValidationError, match=rule):
        Router.model_validate({"name": "r", "network": "vpc", "nats": [{"name": "n", **nat}]}, context=KNOWN)


@pytest.mark.behaviour("4.4.2", "4.4.4")
@pytest.mark.parametrize("cidr", ["10.0.0.0/30", "0.0.0.0/3", "127.0.0.0/24", "35.191.0.0/24", "hello", "10.0.0.0/33"])
def test_ranges_that_no_subnet_may_have(cidr: str) -> None:
    with pytest.raises(ValidationError, match="ipCidrRange"):
        Subnetwork.model_validate(subnet(cidr=cidr), context=KNOWN)


def test_addresses_are_addresses() -> None:
    with pytest.raises(ValidationError, match="must be an IPv4 address"):
        Address.model_validate({"name": "a", "address": "10.0.0.256"}, context=KNOWN)


# -- rules between resources ------------------------------------------------------------------------------------------


@pytest.mark.behaviour("4.5.1")
def test_a_peering_may_wait_for_its_other_side() -> None:
    assert problems(compute=compute(networks=[network("vpc", "gone")])) == [
        "compute.networks.0.peerings.0.network: The resource 'projects/p/global/networks/gone' was not found"
    ]


def test_references_must_lead_somewhere() -> None:
    found = problems(
        compute=compute(
            networks=[network("vpc", "gone")],
            instances=[vm("a", "gone")],
            firewalls=[{"name": "r", "network": "gone", "allow": ["tcp"]}],
            routes=[{**ROUTE, "nextHopInstance": "gone"}],
            routers=[
                {
                    "name": "r",
                    "network": "vpc",
                    "nats": [
                        {
                            "name": "n",
                            "natIpAllocateOption": "MANUAL_ONLY",
                            "natIps": ["gone"],
                            "sourceSubnetworkIpRangesToNat": "LIST_OF_SUBNETWORKS",
                            "subnetworks": [{"name": "gone"}],
                        }
                    ],
                }
            ],
        ),
        vpcaccess={"connectors": [{"name": "c1", "subnet": {"name": "gone"}}]},
        redis={"instances": [{"name": "r", "authorizedNetwork": "gone"}]},
        secretmanager={"secrets": [{"name": "s", "redisAuthString": "gone"}]},
    )
    assert sorted(line.split(":")[0] for line in found) == [
        "compute.firewalls.0.network",
        "compute.instances.0.networkInterfaces.0.subnetwork",
        "compute.routers.0.nats.0.natIps.0",
        "compute.routers.0.nats.0.subnetworks.0.name",
        "compute.routes.0.nextHopInstance",
        "redis.instances.0.authorizedNetwork",
        "secretmanager.secrets.0.redisAuthString",
        "vpcaccess.connectors.0.subnet.name",
    ]
    assert all(line.endswith("was not found") for line in found)


@pytest.mark.behaviour("7.2")
@pytest.mark.parametrize(("length", "small"), [(26, False), (27, True)])
def test_direct_egress_needs_a_subnet_with_enough_addresses(length: int, small: bool) -> None:
    """In a file; by the API the service comes into being, and its revision fails."""
    access = {"networkInterfaces": [{"subnetwork": "narrow"}]}
    web = {"name": "web", "template": {"containers": [{}], "vpcAccess": access}}
    found = problems(
        compute={"networks": [network()], "subnetworks": [subnet("narrow", f"10.1.0.0/{length}")]},
        run={"services": [web]},
    )
    assert found == [f"run.services.0: the subnetwork narrow is 10.1.0.0/{length}: it must be /26 or larger"] * small


@pytest.mark.behaviour("1.10.5")
def test_a_missing_connector_is_an_error_of_the_service() -> None:
    name = "projects/p/locations/us-central1/connectors/gone"
    message = f"VPC connector {name} does not exist, or Cloud Run does not have permission to use it."
    assert problems(run={"services": [service("web", "gone")]}) == [
        f"run.services.0.template.vpcAccess.connector: {message}"
    ]


@pytest.mark.behaviour("1.12.1")
def test_connector_and_service_are_in_one_region() -> None:
    there = {"name": "projects/p/locations/europe-west1/services/web", "template": service("web")["template"]}
    there["template"]["vpcAccess"]["connector"] = topologies.CONNECTOR
    assert "they must be in one region" in problems(run={"services": [there]})[0]


@pytest.mark.behaviour("1.6.3", "4.4.1")
@pytest.mark.parametrize("cidr", ["10.128.0.0/28", "10.0.0.0/8", "10.128.15.240/28"])
def test_ranges_of_one_network_do_not_overlap(cidr: str) -> None:
    found = problems(compute=compute(subnetworks=[subnet(), subnet("other", cidr)]), vpcaccess={}, run={})
    assert [line.split(" ")[0] for line in found] == ["compute.subnetworks.1.ipCidrRange:"]


@pytest.mark.behaviour("4.3.5")
@pytest.mark.parametrize("cidr", ["10.128.0.0/20", "10.128.4.0/24", "10.8.0.0/28", "10.8.0.4"])
def test_no_route_leads_into_a_subnet(cidr: str) -> None:
    given = compute(instances=[vm("a")], routes=[{**ROUTE, "destRange": cidr, "nextHopInstance": "a"}])
    (found,) = problems(compute=given)
    assert found.startswith(f"compute.routes.0.destRange: {IPv4Network(cidr)} hides the address space of the")


@pytest.mark.behaviour("4.3.5", "4.5.2")
@pytest.mark.parametrize(
    ("cidr", "sides", "accepted"),
    [
        ("10.2.0.0/24", 2, False),
        ("10.2.0.4", 2, False),
        ("10.2.0.0/24", 1, True),
        ("10.2.0.0/16", 2, True),
        ("11.0.0.0/28", 2, True),
    ],
)
def test_no_route_leads_into_a_subnet_of_a_peer(cidr: str, sides: int, accepted: bool) -> None:
    """Of privately used public ranges only if they are imported, which by default they are not."""
    networks = [network("vpc", "other"), network("other", *(["vpc"] if sides == 2 else []))]
    there = [{**subnet(name, cidr), "network": "other"} for name, cidr in (("x", "10.2.0.0/24"), ("y", "11.0.0.0/24"))]
    route = {**ROUTE, "destRange": cidr, "nextHopInstance": "a"}
    given = compute(networks=networks, subnetworks=[subnet(), *there], instances=[vm("a")], routes=[route])
    if accepted:
        assert len(small(compute=given).compute.routes) == 1
    else:
        (found,) = problems(compute=given)
        assert "hides the address space of the network (10.2.0.0/24)" in found


@pytest.mark.behaviour("4.3.5")
def test_a_route_may_contain_a_subnet() -> None:  # behaviour 4.3.5: the subnet route is the more specific one
    given = compute(instances=[vm("a")], routes=[{**ROUTE, "destRange": "10.0.0.0/8", "nextHopInstance": "a"}])
    assert len(small(compute=given).compute.routes) == 1


def test_a_connectors_range_overlaps_no_subnet() -> None:  # behaviour 1.6.3
    (found,) = problems(vpcaccess={"connectors": [connector(cidr="10.128.0.16/28")]})
    where, rule = found.split(": ")
    assert where == "vpcaccess.connectors.0.ipCidrRange"
    assert rule == "the range 10.128.0.16/28 of connector c1 overlaps 10.128.0.0/20 of subnetwork us"


@pytest.mark.behaviour("4.5.5")
def test_ranges_of_active_peers_do_not_overlap() -> None:
    there = {**subnet("there"), "network": "other"}
    one_side = compute(networks=[network("vpc", "other"), network("other")], subnetworks=[subnet(), there])
    assert len(small(compute=one_side).compute.networks) == 2
    both = {**one_side, "networks": [network("vpc", "other"), network("other", "vpc")]}
    (found,) = problems(compute=both)
    assert found == (
        "compute.subnetworks.1.ipCidrRange: An IP range in the peer network (10.128.0.0/20) overlaps with an IP range"
        " in the local network (10.128.0.0/20) allocated by resource (projects/p/regions/us-central1/subnetworks/us)."
    )


@pytest.mark.behaviour("4.5.5")
def test_ranges_of_two_peers_of_one_network_do_not_overlap() -> None:
    left, right = ({**subnet(name, "10.1.0.0/24"), "network": name} for name in ("left", "right"))
    peered = [network("vpc", "left", "right"), network("left", "vpc"), network("right", "vpc")]
    (found,) = problems(compute=compute(networks=peered, subnetworks=[subnet(), left, right]))
    assert "in the peer network (10.1.0.0/24) overlaps" in found


@pytest.mark.behaviour("4.4.5")
@pytest.mark.parametrize("address", ["10.128.0.0", "10.128.0.1", "10.128.15.254", "10.128.15.255", "10.129.0.2"])
def test_an_instances_address_is_usable(address: str) -> None:
    (found,) = problems(compute=compute(instances=[vm("a", address=address)]))
    assert found.endswith(f"{address} is not a usable address of 10.128.0.0/20")


def test_an_address_is_given_once() -> None:
    two = compute(instances=[vm("a", address="10.128.0.2"), vm("b", address="10.128.0.2")])
    message = "IP '10.128.0.2' is already being used by another resource."
    assert problems(compute=two) == [f"compute.instances.1.networkInterfaces.0.networkIP: {message}"]


def test_an_instance_is_in_its_subnets_region() -> None:
    (found,) = problems(compute=compute(instances=[vm("a", zone="europe-west1-b")]))
    assert found.endswith("a is in europe-west1-b, its subnetwork us is in us-central1")


@pytest.mark.behaviour("1.6.6")
@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ({"cidr": "10.9.0.0/27"}, "is 10.9.0.0/27, not a /28"),
        ({"cidr": "10.9.0.0/28", "purpose": "PRIVATE_SERVICE_CONNECT"}, "not PRIVATE"),
    ],
)
def test_a_connectors_subnet(given: dict[str, Any], rule: str) -> None:
    subnets = [subnet(), subnet("s", **given)]
    (found,) = problems(
        compute=compute(subnetworks=subnets), vpcaccess={"connectors": [{"name": "c1", "subnet": {"name": "s"}}]}
    )
    assert rule in found


@pytest.mark.behaviour("1.6.6")
def test_a_connector_has_its_subnet_to_itself() -> None:
    both = compute(subnetworks=[subnet(), subnet("s", "10.9.0.0/28")], instances=[vm("a", "s")])
    (found,) = problems(compute=both, vpcaccess={"connectors": [{"name": "c1", "subnet": {"name": "s"}}]})
    assert "is used by another resource too" in found


@pytest.mark.parametrize(
    "name",
    [
        "web",
        "front-end",
        "load",
        "internet",
        "lo",
        "default",
        "all",
        "vpc-vpc",
        "google-vpc",
        "c1-0001",
        "serverless-us-central1",
        "web-2",
        "tun0",
        "tun1",
    ],
)
def test_a_vm_may_have_any_name(name: str) -> None:
    """What else is called so in a testbed is none of the user's business (`fabric.allocation.short_names`)."""
    of = small(compute=compute(instances=[vm(name)]), run={"services": [service("web", instances=2)]})
    assert [instance.name for instance in of.compute.instances] == [name]


def test_short_names_are_those_of_a_place() -> None:
    there = connector("projects/p/locations/europe-west1/connectors/c1", "10.8.0.16/28")
    other = {"name": "vpc", "selfLink": "projects/q/global/networks/vpc"}
    of = small(vpcaccess={"connectors": [connector(), there]})
    assert [one.id for one in of.vpcaccess.connectors] == ["c1", "c1"]
    of = small(compute=compute(networks=[network(), other], instances=[vm("a")]))
    assert [one.name for one in of.compute.networks] == ["vpc", "vpc"]


def test_a_host_on_the_internet_exists_once() -> None:
    hosts = [{"name": "x", "address": f"203.0.113.{number}"} for number in (9, 10)]
    assert problems(internet={"hosts": hosts}) == ["internet.hosts.1.name: The resource 'x' already exists"]


def test_addresses_on_the_internet_are_given_once() -> None:
    hosts = [{"name": "x", "address": "203.0.113.9"}, {"name": "y", "address": "203.0.113.9"}]
    found = problems(internet={"hosts": hosts})
    assert found == ["internet.hosts.1.address: IP '203.0.113.9' is already being used by another resource."]


def test_an_instance_may_have_a_reserved_address() -> None:
    instances = [vm("a"), vm("b")]
    instances[0]["networkInterfaces"][0]["accessConfigs"] = [{"natIP": "198.51.100.9"}]
    addresses = [{"name": "x", "address": "198.51.100.9"}]
    assert small(compute=compute(instances=instances, addresses=addresses)).compute.addresses[0].name == "x"
    instances[1]["networkInterfaces"][0]["accessConfigs"] = [{"natIP": "198.51.100.9"}]
    assert "already being used" in problems(compute=compute(instances=instances, addresses=addresses))[0]


def test_a_resource_exists_once() -> None:
    assert problems(compute=compute(instances=[vm("a"), vm("a")])) == [
        "compute.instances.1.name: The resource 'projects/p/zones/us-central1-a/instances/a' already exists"
    ]


def test_a_secret_must_be_declared() -> None:
    web = service("web")
    web["template"]["containers"] = [{"env": [{"name": "PASSWORD", "value": "sm://p/gone"}]}]
    assert "the secret sm://p/gone is not declared" in problems(run={"services": [web]})[0]


def test_a_vpn_gateway_needs_its_three_forwarding_rules() -> None:
    vpn = {
        "addresses": [{"name": "a"}],
        "targetVpnGateways": [{"name": "g", "network": "vpc"}],
        "forwardingRules": [{"name": "esp", "IPAddress": "a", "IPProtocol": "ESP", "target": "g"}],
    }
    (found,) = problems(compute=compute(**vpn))
    assert found == "compute.targetVpnGateways.0: g has no forwarding rule for UDP 4500, UDP 500"


@pytest.mark.behaviour("4.9.2")
@pytest.mark.parametrize("cidr", ["10.9.0.0/28", "10.9.0.0/30"])
def test_a_redis_range_is_a_29(cidr: str) -> None:
    redis = {"name": "r", "authorizedNetwork": "vpc", "reservedIpRange": cidr}
    with pytest.raises(ValidationError, match="reservedIpRange"):
        small(redis={"instances": [redis]})


def private(**redis: Any) -> Data:
    """A private connection with one of two allocated ranges, and an instance."""
    instance = {"name": "r", "authorizedNetwork": "vpc", "connectMode": "private-service-access", **redis}
    ranges = [
        {"name": name, "network": "vpc", "address": f"10.{number}.0.0", "prefixLength": 24}
        for name, number in (("a", 60), ("b", 61))
    ]
    return {
        "compute": compute(globalAddresses=ranges),
        "redis": {"instances": [instance]},
        "servicenetworking": {"connections": [{"network": "vpc", "ranges": ["a"]}]},
    }


@pytest.mark.behaviour("4.9.3")
def test_a_private_connection_peers_its_network_with_a_producers() -> None:
    of = small(**private(reservedIpRange="a"))
    (connection,) = of.servicenetworking.connections
    mine, producer = of.networks
    assert of.compute.networks[0].peerings == ()
    assert [(one.name, one.network) for one in mine.peerings] == [
        ("servicenetworking-googleapis-com", producer.full_name)
    ]
    assert [one.network for one in producer.peerings] == [mine.full_name]
    assert connection.ranges == ("projects/p/global/addresses/a",)
    assert of.connection(of.redis.instances[0]) == connection


@pytest.mark.behaviour("4.9.3", "4.9.6")
@pytest.mark.parametrize(
    ("redis", "connections", "message"),
    [
        ({"reservedIpRange": "b"}, None, "0.reservedIpRange: 'b' is not a range of the private connection"),
        ({}, [], "redis.instances.0.connectMode: Google private service access is not enabled."),
        ({}, [{"network": "vpc", "ranges": ["c"]}], "connections.0.reservedPeeringRanges.0: The resource"),
        (
            {
                "name": "projects/other/locations/us-central1/instances/r",
                "connectMode": "DIRECT_PEERING",
                "authorizedNetwork": "projects/p/global/networks/vpc",
            },
            None,
            "must exist in the same project",
        ),
    ],
)
def test_a_private_connection_that_is_needed_is_there(
    redis: Data, connections: list[Data] | None, message: str
) -> None:
    given = private(**redis)
    if connections is not None:
        given["servicenetworking"] = {"connections": connections}
    (found,) = problems(**given)
    assert message in found


@pytest.mark.behaviour("4.9.3")
def test_the_range_of_a_private_connection_is_given_by_its_name() -> None:
    with pytest.raises(ValidationError, match="must be the name of an allocated range"):
        small(**private(reservedIpRange="10.60.0.0/29"))


@pytest.mark.parametrize(
    ("env", "fields", "accepted"),
    [
        ("flex", {"network": {"name": "vpc", "subnetworkName": "us"}}, True),
        ("flexible", {"network": {"name": "vpc", "subnetworkName": "us"}}, True),
        ("flex", {"vpcAccessConnector": {"name": "c1"}}, False),
        ("standard", {"network": {"name": "vpc", "subnetworkName": "us"}}, False),
        ("standard", {"vpcAccessConnector": {"name": "c1"}}, True),
    ],
)
def test_only_the_standard_environment_has_a_connector(env: str, fields: dict[str, Any], accepted: bool) -> None:
    """Behaviour 3.6: the flexible one lives in the network."""
    name = "apps/p/services/s/versions/v1"
    version = {"name": name, "env": env, "deployment": {"zip": {"sourceUrl": "app"}}, **fields}
    appengine = {"application": {"id": "p", "locationId": "us-central1"}, "versions": [version]}
    if accepted:
        assert len(small(appengine=appengine).workloads) == 2
    else:
        with pytest.raises(ValidationError, match=r"a flexible version has|Network parameter is not supported"):
            small(appengine=appengine)


def test_a_version_needs_the_application() -> None:
    version = {"name": "apps/q/services/s/versions/v1", "deployment": {"zip": {"sourceUrl": "app"}}}
    with pytest.raises(ValidationError, match=r"the application of \S+ is not declared"):
        small(appengine={"application": {"id": "p", "locationId": "us-central1"}, "versions": [version]})


def test_a_testbeds_name_is_short() -> None:
    assert topology(name="a" * 20).name == "a" * 20
    with pytest.raises(ValidationError, match="at most 20 characters"):
        topology(name="a" * 21)


def test_the_project_number_is_stable() -> None:
    assert small().project_number == small().project_number
    assert len(str(small().project_number)) == 12
