"""What Google's clients have to be told so that they talk to a testbed: environment variables.

Two ways.  By *override*, each client is given endpoints by its own options.  By *proxy*, nothing is overridden:
whatever asks for a googleapis.com name through the proxy reaches the testbed, and believes its certificate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_GCLOUD = {
    "APPENGINE": "appengine.googleapis.com/", "CLOUDFUNCTIONS": "cloudfunctions.googleapis.com/",
    "CLOUDRESOURCEMANAGER": "cloudresourcemanager.googleapis.com/", "COMPUTE": "compute/v1/", "DNS": "dns/v1/",
    "IAM": "iam.googleapis.com/", "LOGGING": "logging.googleapis.com/",
    "NETWORKMANAGEMENT": "networkmanagement.googleapis.com/", "REDIS": "redis.googleapis.com/",
    "SERVICEUSAGE": "serviceusage.googleapis.com/", "STORAGE": "storage/v1/", "VPCACCESS": "vpcaccess.googleapis.com/",
}  # fmt: skip
"""gcloud's properties api_endpoint_overrides/*: a path, with the API's host where other APIs have the same paths."""
_TERRAFORM = {
    "APP_ENGINE": "appengine.googleapis.com/v1/",
    "CLOUDFUNCTIONS2": "cloudfunctions.googleapis.com/v2/",
    "CLOUD_FUNCTIONS": "cloudfunctions.googleapis.com/v1/",
    "CLOUD_RUN": "run.googleapis.com/",
    "CLOUD_RUN_V2": "run.googleapis.com/v2/",
    "COMPUTE": "compute/v1/",
    "DNS": "dns/v1/",
    "IAM": "iam.googleapis.com/v1/",
    "LOGGING": "logging.googleapis.com/v2/",
    "NETWORK_MANAGEMENT": "networkmanagement.googleapis.com/v1/",
    "REDIS": "redis.googleapis.com/v1/",
    "RESOURCE_MANAGER": "cloudresourcemanager.googleapis.com/v1/",
    "RESOURCE_MANAGER_V3": "cloudresourcemanager.googleapis.com/v3/",
    "SERVICE_NETWORKING": "servicenetworking.googleapis.com/v1/",
    "SERVICE_USAGE": "serviceusage.googleapis.com/v1/",
    "STORAGE": "storage/v1/",
    "VPC_ACCESS": "vpcaccess.googleapis.com/v1/",
}
"""The Google provider's GOOGLE_*_CUSTOM_ENDPOINT (read in its source, google/transport/config.go; not run).

They are https, because the provider cuts the version off for its hand-written resources only of such.
"""
_CA_VARIABLES = (
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_FILE",
    "CURL_CA_BUNDLE",
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
    "NODE_EXTRA_CA_CERTS",
    "HTTPLIB2_CA_CERTS",
    "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE",
)
"""Each client has a variable of its own, and some of them win over others: all are set."""
_GCLOUD_REGIONS = tuple(f"CLOUDSDK_{section}_REGION" for section in ("COMPUTE", "FUNCTIONS", "REDIS", "RUN"))
_QUIET = {
    "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "true",
    "CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK": "true",
    "CLOUDSDK_SURVEY_DISABLE_PROMPTS": "true",
    "CLOUDSDK_CORE_CHECK_GCE_METADATA": "false",
}
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
    token: str = "testbed"  # noqa: S105 - it proves nothing
    """The access token of its owner; any word will do (`testbed.api.callers.owner_token`)."""

    @property
    def url(self) -> str:
        """The URL of everything, without a path."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def token_uri(self) -> str:
        """Where access tokens and ID tokens are asked for."""
        return f"{self.url}/token"


def overrides(endpoint: Endpoint) -> dict[str, str]:
    """Endpoint options of gcloud and Terraform.

    gcloud's Cloud Run commands put a region before the host of their endpoint, so that has to be a name of Google's:
    they come through gcloud's own proxy properties, which no other program reads.
    """
    secure = endpoint.url.replace("http:", "https:")
    gcloud = {f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{name}": f"{endpoint.url}/{path}" for name, path in _GCLOUD.items()}
    terraform = {f"GOOGLE_{name}_CUSTOM_ENDPOINT": f"{secure}/{path}" for name, path in _TERRAFORM.items()}
    return {
        **_common(endpoint),
        **gcloud,
        **terraform,
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_RUN": "http://run.googleapis.com/",
        "CLOUDSDK_PROXY_TYPE": "http",
        "CLOUDSDK_PROXY_ADDRESS": "127.0.0.1",
        "CLOUDSDK_PROXY_PORT": str(endpoint.port),
    }


def proxy(endpoint: Endpoint) -> dict[str, str]:
    """A proxy and a CA: every client believes that it talks to googleapis.com.

    The proxy is for that only: it refuses every other host except this machine's own.
    """
    proxies = ("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy")
    return {
        **_common(endpoint),
        **dict.fromkeys(proxies, endpoint.url),
        **dict.fromkeys(("NO_PROXY", "no_proxy"), "localhost,127.0.0.1,::1"),
    }


def _common(endpoint: Endpoint) -> dict[str, str]:
    scope: Mapping[str, str | None] = {
        "CLOUDSDK_CORE_PROJECT": endpoint.project,
        "GOOGLE_CLOUD_PROJECT": endpoint.project,
        "GOOGLE_PROJECT": endpoint.project,
        "GCP_PROJECT": endpoint.project,
        **dict.fromkeys((*_GCLOUD_REGIONS, "GOOGLE_REGION"), endpoint.region),
        "CLOUDSDK_COMPUTE_ZONE": endpoint.zone,
        "GOOGLE_ZONE": endpoint.zone,
    }
    return {
        "TESTBED_ENDPOINT": endpoint.url,
        "CLOUDSDK_CONFIG": str(endpoint.folder / GCLOUD),
        "CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE": str(endpoint.folder / CREDENTIALS),
        "GOOGLE_APPLICATION_CREDENTIALS": str(endpoint.folder / CREDENTIALS),
        **_QUIET,
        **{name: value for name, value in scope.items() if value},
        **dict.fromkeys(_CA_VARIABLES, str(endpoint.folder / BUNDLE)),
        "GOOGLE_OAUTH_ACCESS_TOKEN": endpoint.token,
        "GCP_AUTH_KIND": "accesstoken",
        "GCP_ACCESS_TOKEN": endpoint.token,
    }
