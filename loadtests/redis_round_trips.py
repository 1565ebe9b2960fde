"""Writes to Redis, read back and compared."""

from __future__ import annotations

from locust import task
from services import ServiceUser


class RedisUser(ServiceUser):
    """Writes and reads by way of each service in turn."""

    @task
    def round_trip(self) -> None:
        """One write and one read."""
        self.write_and_read(next(self.services))
