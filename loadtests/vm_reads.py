"""Reads from the VM over the services' pooled connections."""

from __future__ import annotations

from locust import task
from services import ServiceUser


class VmReader(ServiceUser):
    """Reads from the VM by way of each service in turn."""

    @task
    def read(self) -> None:
        """One read."""
        self.read_vm(next(self.services))
