"""Google's regions and zones (behaviour 5.4.3, recalled)."""

from __future__ import annotations

from collections.abc import Mapping

REGIONS = (
    "africa-south1", "asia-east1", "asia-east2", "asia-northeast1", "asia-northeast2", "asia-northeast3",
    "asia-south1", "asia-south2", "asia-southeast1", "asia-southeast2", "australia-southeast1",
    "australia-southeast2", "europe-central2", "europe-north1", "europe-north2", "europe-southwest1", "europe-west1",
    "europe-west2", "europe-west3", "europe-west4", "europe-west6", "europe-west8", "europe-west9", "europe-west10",
    "europe-west12", "me-central1", "me-central2", "me-west1", "northamerica-northeast1", "northamerica-northeast2",
    "northamerica-south1", "southamerica-east1", "southamerica-west1", "us-central1", "us-east1", "us-east4",
    "us-east5", "us-south1", "us-west1", "us-west2", "us-west3", "us-west4",
)  # fmt: skip
"""Every region that has serverless products, and so connectors (behaviour 5.4.1)."""
AUTO_SUBNETS: Mapping[str, str] = {
    "africa-south1": "10.218.0.0/20", "asia-east1": "10.140.0.0/20", "asia-east2": "10.170.0.0/20",
    "asia-northeast1": "10.146.0.0/20", "asia-northeast2": "10.174.0.0/20", "asia-northeast3": "10.178.0.0/20",
    "asia-south1": "10.160.0.0/20", "asia-south2": "10.190.0.0/20", "asia-southeast1": "10.148.0.0/20",
    "asia-southeast2": "10.184.0.0/20", "australia-southeast1": "10.152.0.0/20",
    "australia-southeast2": "10.192.0.0/20", "europe-central2": "10.186.0.0/20", "europe-north1": "10.166.0.0/20",
    "europe-north2": "10.226.0.0/20", "europe-southwest1": "10.204.0.0/20", "europe-west1": "10.132.0.0/20",
    "europe-west10": "10.214.0.0/20", "europe-west12": "10.210.0.0/20", "europe-west2": "10.154.0.0/20",
    "europe-west3": "10.156.0.0/20", "europe-west4": "10.164.0.0/20", "europe-west6": "10.172.0.0/20",
    "europe-west8": "10.198.0.0/20", "europe-west9": "10.200.0.0/20", "me-central1": "10.212.0.0/20",
    "me-central2": "10.216.0.0/20", "me-west1": "10.208.0.0/20", "northamerica-northeast1": "10.162.0.0/20",
    "northamerica-northeast2": "10.188.0.0/20", "northamerica-south1": "10.224.0.0/20",
    "southamerica-east1": "10.158.0.0/20", "southamerica-west1": "10.194.0.0/20", "us-central1": "10.128.0.0/20",
    "us-east1": "10.142.0.0/20", "us-east4": "10.150.0.0/20", "us-east5": "10.202.0.0/20",
    "us-south1": "10.206.0.0/20", "us-west1": "10.138.0.0/20", "us-west2": "10.168.0.0/20",
    "us-west3": "10.180.0.0/20", "us-west4": "10.182.0.0/20",
}  # fmt: skip
"""The subnet that an auto mode network has in each region (behaviour 4.4.7; each range recalled)."""
_LETTERS = {"us-central1": "abcf", "us-east1": "bcd", "europe-west1": "bcd"}


def zones(region: str) -> tuple[str, ...]:
    """The zones of a region."""
    return tuple(f"{region}-{letter}" for letter in _LETTERS.get(region, "abc"))


ZONES = tuple(zone for region in REGIONS for zone in zones(region))
"""Every zone of these regions."""
