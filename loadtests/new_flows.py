"""Reads from the VM with a new connection each: flows spread over the connector instances, and use up their ports.

Applications that connect like this without limit are what the documentation warns of; they should use a pool.
"""

from __future__ import annotations

from locust import task
from services import ServiceUser


class NewFlowUser(ServiceUser):
    """Reads from the VM by way of each service in turn, never over the same connection twice."""

    @task
    def read(self) -> None:
        """One read, one flow."""
        self.read_vm(next(self.services), fresh=True)
