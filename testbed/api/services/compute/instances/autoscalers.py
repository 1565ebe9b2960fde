"""Autoscalers: there are none, and gcloud asks for them before it shows or deletes a managed group."""

from __future__ import annotations

from testbed.api.services.compute.collection import Collection

AUTOSCALERS = Collection(name="autoscalers", singular="autoscaler", scope="zones").register(
    "get", "list", "aggregatedList"
)
