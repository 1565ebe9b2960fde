"""Functions of v1 (`CloudFunction`) as those of v2 (`Function`), and back: the same things in other places."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping
from typing import Any

from testbed.api.services.storage import transfers
from testbed.errors import GoogleText, InvalidArgument
from testbed.json_object import Json

_BUILD, _SERVICE = "buildConfig", "serviceConfig"
PLACES: Mapping[str, tuple[str, ...]] = {
    "description": ("description",),
    "labels": ("labels",),
    "kmsKeyName": ("kmsKeyName",),
    "eventTrigger": ("eventTrigger",),
    "entryPoint": (_BUILD, "entryPoint"),
    "runtime": (_BUILD, "runtime"),
    "buildEnvironmentVariables": (_BUILD, "environmentVariables"),
    "buildWorkerPool": (_BUILD, "workerPool"),
    "buildServiceAccount": (_BUILD, "serviceAccount"),
    "dockerRegistry": (_BUILD, "dockerRegistry"),
    "dockerRepository": (_BUILD, "dockerRepository"),
    "automaticUpdatePolicy": (_BUILD, "automaticUpdatePolicy"),
    "onDeployUpdatePolicy": (_BUILD, "onDeployUpdatePolicy"),
    "environmentVariables": (_SERVICE, "environmentVariables"),
    "maxInstances": (_SERVICE, "maxInstanceCount"),
    "minInstances": (_SERVICE, "minInstanceCount"),
    "vpcConnector": (_SERVICE, "vpcConnector"),
    "vpcConnectorEgressSettings": (_SERVICE, "vpcConnectorEgressSettings"),
    "ingressSettings": (_SERVICE, "ingressSettings"),
    "serviceAccountEmail": (_SERVICE, "serviceAccountEmail"),
    "secretEnvironmentVariables": (_SERVICE, "secretEnvironmentVariables"),
    "secretVolumes": (_SERVICE, "secretVolumes"),
    "timeout": (_SERVICE, "timeoutSeconds"),
    "availableMemoryMb": (_SERVICE, "availableMemory"),
}
"""Where v2 has the fields of v1."""


DEFAULT_MEMORY = "256M"
_CPUS: Mapping[int, str] = {
    128: "0.0833", 256: "0.1666", 512: "0.3333", 1024: "0.5833", 2048: "1", 4096: "2", 8192: "2", 16384: "4",
    32768: "8",
}  # fmt: skip
"""Processors by the megabytes of memory up to which a function has them (behaviour 5.5.2)."""


def cpus_for(memory: str) -> str:
    """The processors of a function of the 2nd generation that does not say how many it wants."""
    needed = mebibytes(memory)
    return next((cpus for size, cpus in _CPUS.items() if needed <= size), _CPUS[32768])


def to_v2(function: Json) -> Json:
    """A function of v1 as one of v2.

    Raises:
        InvalidArgument: a value is not one of its field.
    """
    if function.get("network"):
        raise InvalidArgument("network: it is deprecated; use vpcConnector")
    result: Json = {"environment": "GEN_1"}
    for name, place in PLACES.items():
        if name in function:
            _put(result, place, _TO_V2.get(name, copy.deepcopy)(function[name]))
    if level := function.get("httpsTrigger", {}).get("securityLevel"):
        _put(result, (_SERVICE, "securityLevel"), level)
    if source := _source(function):
        _put(result, (_BUILD, "source"), source)
    return result


def to_v1(function: Json) -> Json:
    """A function of v2, as `records.asked` has it, as one of v1."""
    result: Json = {}
    for name, place in PLACES.items():
        value = _at(function, place)
        if value is not None:
            result[name] = _TO_V1.get(name, copy.deepcopy)(value)
    level = _at(function, (_SERVICE, "securityLevel"))
    result["httpsTrigger"] = {"securityLevel": level} if level else {}
    source = _at(function, (_BUILD, "source")) or {}
    storage = source.get("storageSource", {})
    if storage.get("sourceUploadUrl"):
        result["sourceUploadUrl"] = storage["sourceUploadUrl"]
    elif storage:
        result["sourceArchiveUrl"] = f"gs://{storage['bucket']}/{storage['object']}"
    elif source.get("gitUri"):
        result["sourceArchiveUrl"] = source["gitUri"]  # a local folder: our choice
    return result


def _source(function: Json) -> Json | None:
    if function.get("sourceRepository"):
        raise InvalidArgument("source: the testbed has no Cloud Source Repositories; deploy a zip archive")
    if address := function.get("sourceUploadUrl"):
        place = transfers.place_of(address)
        known = {"bucket": place.bucket, "object": place.object} if place else {}
        return {"storageSource": {**known, "sourceUploadUrl": address}}
    if address := function.get("sourceArchiveUrl"):
        place = transfers.place_of(address)
        if place is None:
            return {"gitUri": address}
        return {"storageSource": {"bucket": place.bucket, "object": place.object}}
    return None


def _seconds(duration: Any) -> int:
    if found := re.fullmatch(r"(\d{1,5})(?:\.\d+)?s", str(duration)):
        return int(found[1])
    raise InvalidArgument(
        GoogleText(f"Invalid value at 'timeout' (type.googleapis.com/google.protobuf.Duration), \"{duration}\"")
    )


def mebibytes(quantity: Any) -> int:
    """How much memory a quantity of Kubernetes' is.

    Raises:
        InvalidArgument: it is none.
    """
    found = re.fullmatch(r"(\d+)(k|Ki|M|Mi|G|Gi)?", str(quantity))
    if found is None:
        raise InvalidArgument(f"memory '{quantity}': it is not a quantity")
    units = {"": 1 / (1 << 20), "k": 1 / 1024, "M": 1, "G": 1024}
    return int(int(found[1]) * units[(found[2] or "").removesuffix("i").replace("K", "k")])


_Convert = Callable[[Any], Any]
_TO_V2: Mapping[str, _Convert] = {"timeout": _seconds, "availableMemoryMb": lambda value: f"{value}M"}
_TO_V1: Mapping[str, _Convert] = {"timeout": lambda value: f"{value}s", "availableMemoryMb": mebibytes}


def _at(value: Json, place: tuple[str, ...]) -> Any:
    found: Any = value
    for name in place:
        found = found.get(name) if isinstance(found, dict) else None
    return found


def _put(value: Json, place: tuple[str, ...], inner: Any) -> None:
    *way, end = place
    for name in way:
        value = value.setdefault(name, {})
    value[end] = inner
