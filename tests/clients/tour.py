"""A user's program, which knows nothing of the testbed: no endpoint, no CA and no credentials but the environment's.

It goes once through each library, by gRPC where the library has that, and prints what it has seen.
"""

from __future__ import annotations

import json
import sys
from contextlib import closing

from google.api_core.exceptions import NotFound
from google.cloud import compute_v1, functions_v2, network_management_v1, redis_v1, run_v2, vpcaccess_v1
from google.cloud.dns import Client as DnsClient
from googleapiclient.discovery import build

PROJECT = "demo"
REGION = f"projects/{PROJECT}/locations/us-central1"
NETWORK = f"projects/{PROJECT}/global/networks/vpc"


def compute() -> str:
    with compute_v1.NetworksClient() as client:
        network = compute_v1.Network(name="vpc", auto_create_subnetworks=False)
        client.insert(project=PROJECT, network_resource=network).result()
        return str(client.get(project=PROJECT, network="vpc").self_link)


def vpcaccess(transport: str) -> str:
    with vpcaccess_v1.VpcAccessServiceClient(transport=transport) as client:
        number = len(list(client.list_connectors(parent=REGION)))
        connector = vpcaccess_v1.Connector(
            network="vpc", ip_cidr_range=f"10.8.{number}.0/28", min_instances=2, max_instances=3
        )
        made = client.create_connector(parent=REGION, connector_id=f"c{number}", connector=connector).result()
        return str(made.state.name)


def run() -> str:
    template = run_v2.RevisionTemplate(
        containers=[run_v2.Container(image="us-docker.pkg.dev/cloudrun/container/hello")],
        vpc_access=run_v2.VpcAccess(connector=f"{REGION}/connectors/c0"),
    )
    with run_v2.ServicesClient() as client:
        service = run_v2.Service(template=template)
        made = client.create_service(parent=REGION, service=service, service_id="hello").result()
        return str(made.terminal_condition.state.name)


def redis() -> str:
    given = redis_v1.Instance(tier="BASIC", memory_size_gb=1, authorized_network=NETWORK)
    with redis_v1.CloudRedisClient() as client:
        return str(client.create_instance(parent=REGION, instance_id="r1", instance=given).result().state.name)


def functions() -> str:
    with functions_v2.FunctionServiceClient() as client:
        try:
            client.get_function(name=f"{REGION}/functions/none")
        except NotFound:
            given = client.generate_upload_url(functions_v2.GenerateUploadUrlRequest(parent=REGION))
            return str(given.storage_source.bucket.partition("-uploads")[0])
        return "found"


def network_management() -> str:
    with network_management_v1.ReachabilityServiceClient() as client:
        return str(list(client.list_connectivity_tests(parent=f"projects/{PROJECT}/locations/global")))


def zones() -> str:
    client = DnsClient(PROJECT)
    client.zone("z", "example.com.", "a zone").create()
    return str([zone.name for zone in client.list_zones()])


def api_client() -> str:
    with closing(build("vpcaccess", "v1")) as service:
        found = service.projects().locations().connectors().list(parent=REGION).execute()
        return str(len(found["connectors"]))


json.dump(
    {
        "compute": compute(),
        "vpcaccess by gRPC": vpcaccess("grpc"),
        "vpcaccess by REST": vpcaccess("rest"),
        "run": run(),
        "redis": redis(),
        "functions": functions(),
        "network management": network_management(),
        "dns": zones(),
        "api client": api_client(),
    },
    sys.stdout,
)
