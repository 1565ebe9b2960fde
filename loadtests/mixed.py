"""Both paths: reads from the VM, and writes to Redis that are read back."""

from __future__ import annotations

from locust import task
from services import ServiceUser


class MixedUser(ServiceUser):
    """Goes through the services in turn, and uses the VM and Redis by way of each."""

    @task
    def use(self) -> None:
        """One visit."""
        service = next(self.services)
        self.read_vm(service)
        self.write_and_read(service)
