"""What Google's clients have to be told so that they talk to a testbed: environment variables.

Two ways.  By *override*, each client is given endpoints by its own options.  By *proxy*, nothing is overridden:
whatever asks for a googleapis.com name through the proxy reaches the testbed, and believes its certificate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_PLAIN = "http://127.0.0.1:{port}/"
_GCLOUD = {
    "COMPUTE": "compute/v1/", "DNS": "dns/v1/", "STORAGE": "storage/v1/", "VPCACCESS": "", "REDIS": "",
    "CLOUDRESOURCEMANAGER": "", "NETWORKMANAGEMENT": "", "LOGGING": "", "CLOUDFUNCTIONS": "", "SERVICEUSAGE": "",
    "APPENGINE": "", "IAM": "",
}  # fmt: skip
"""gcloud's properties api_endpoint_overrides/*, with the path that each wants after the host."""
_TERRAFORM = {
    "COMPUTE": "compute/v1/", "VPC_ACCESS": "v1/", "CLOUD_RUN_V2": "v2/", "CLOUD_RUN": "", "CLOUDFUNCTIONS2": "v2/",
    "CLOUD_FUNCTIONS": "v1/", "APP_ENGINE": "v1/", "REDIS": "v1/", "DNS": "dns/v1/", "SERVICE_NETWORKING": "v1/",
    "SERVICE_USAGE": "v1/", "RESOURCE_MANAGER": "v1/", "RESOURCE_MANAGER_V3": "v3/", "IAM": "v1/",
}  # fmt: skip
"""The Google provider's GOOGLE_*_CUSTOM_ENDPOINT (read in its documentation; not tried)."""
_CA_VARIABLES = (
    "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE", "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", "NODE_EXTRA_CA_CERTS",
    "HTTPLIB2_CA_CERTS", "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE",
)  # fmt: skip
"""Each client has a variable of its own, and some of them win over others: all are set."""
_QUIET = {
    "CLOUDSDK_AUTH_DISABLE_CREDENTIALS": "true", "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "true",
    "CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK": "true", "CLOUDSDK_SURVEY_DISABLE_PROMPTS": "true",
    "CLOUDSDK_CORE_CHECK_GCE_METADATA": "false",
}  # fmt: skip
"""gcloud asks nobody else, and says nothing of it."""
BUNDLE = "bundle.pem"
CREDENTIALS = "credentials.json"
GCLOUD = "gcloud"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a testbed's control plane is, and whose resources short names mean."""

    port: int
    folder: Path
    """The folder with what clients may read: CA bundle, credentials, gcloud's configuration."""
    project: str
    region: str | None = None
    zone: str | None = None

    @property
    def url(self) -> str:
        """The URL of everything, without a path."""
        return _PLAIN.format(port=self.port).removesuffix("/")


def overrides(endpoint: Endpoint) -> dict[str, str]:
    """Endpoint options of gcloud and Terraform.

    gcloud's Cloud Run commands put a region before the host of their endpoint, so that has to be a name of Google's:
    they come through gcloud's own proxy properties, which no other program reads.
    """
    root = _PLAIN.format(port=endpoint.port)
    gcloud = {f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{name}": root + path for name, path in _GCLOUD.items()}
    terraform = {f"GOOGLE_{name}_CUSTOM_ENDPOINT": root + path for name, path in _TERRAFORM.items()}
    return {
        **_common(endpoint), **gcloud, **terraform,
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_RUN": "http://run.googleapis.com/",
        "CLOUDSDK_PROXY_TYPE": "http", "CLOUDSDK_PROXY_ADDRESS": "127.0.0.1", "CLOUDSDK_PROXY_PORT": str(endpoint.port),
        "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE": str(endpoint.folder / BUNDLE),
        "REQUESTS_CA_BUNDLE": str(endpoint.folder / BUNDLE),
    }  # fmt: skip


def proxy(endpoint: Endpoint) -> dict[str, str]:
    """A proxy and a CA: every client believes that it talks to googleapis.com.

    The proxy is for that only: it refuses every other host.
    """
    names = ("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy")
    bundle = str(endpoint.folder / BUNDLE)
    return {
        **_common(endpoint), **dict.fromkeys(names, endpoint.url), **dict.fromkeys(_CA_VARIABLES, bundle),
        "GOOGLE_APPLICATION_CREDENTIALS": str(endpoint.folder / CREDENTIALS),
    }  # fmt: skip


def _common(endpoint: Endpoint) -> dict[str, str]:
    scope: Mapping[str, str | None] = {
        "CLOUDSDK_CORE_PROJECT": endpoint.project, "GOOGLE_CLOUD_PROJECT": endpoint.project,
        "GOOGLE_PROJECT": endpoint.project, "GOOGLE_OAUTH_ACCESS_TOKEN": "testbed",
        "CLOUDSDK_COMPUTE_REGION": endpoint.region, "GOOGLE_REGION": endpoint.region,
        "CLOUDSDK_COMPUTE_ZONE": endpoint.zone, "GOOGLE_ZONE": endpoint.zone,
    }  # fmt: skip
    return {
        "TESTBED_ENDPOINT": endpoint.url, "CLOUDSDK_CONFIG": str(endpoint.folder / GCLOUD), **_QUIET,
        **{name: value for name, value in scope.items() if value},
    }  # fmt: skip
