"""Google's discovery documents: which methods each API has, at which path, and with which messages.

They are the yardstick of what is served: a request is matched against them, its body is read by their schemas, and what
they have but the testbed does not is said to be unimplemented, by name.  google-api-python-client ships them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from testbed.json_object import Json

APIS = (
    "vpcaccess.v1", "vpcaccess.v1beta1", "compute.v1", "run.v2", "run.v1", "cloudfunctions.v2", "cloudfunctions.v1",
    "appengine.v1", "redis.v1", "dns.v1", "dns.v1beta2", "servicenetworking.v1", "serviceusage.v1",
    "serviceusage.v1beta1", "cloudresourcemanager.v1", "cloudresourcemanager.v3",
    "iam.v1", "logging.v2", "storage.v1", "networkmanagement.v1", "cloudbuild.v1",
)  # fmt: skip
"""What is served, in the order in which a path that several APIs have is given to them, if the host does not tell."""

SLASH = "%2F"
"""A slash inside of a name, as it is in a path: names of Cloud Storage's objects have them."""
_TEMPLATE = re.compile(r"\{(\+?)(\w+)\}")


@dataclass(frozen=True, slots=True, eq=False)
class Document:
    """The discovery document of one version of an API."""

    api: str
    """`vpcaccess.v1`."""
    schemas: Mapping[str, Json]
    methods: tuple[Method, ...]

    @property
    def name(self) -> str:
        """The API without its version: the first part of its host name."""
        return self.api.split(".")[0]


@dataclass(frozen=True, slots=True, eq=False)
class Method:
    """One method: `vpcaccess.projects.locations.connectors.create`."""

    id: str
    api: str
    """The version of the API that it belongs to: two versions have methods of the same id."""
    verb: str
    path: str
    """Without the leading slash, with the templates of RFC 6570 level 2."""
    pattern: re.Pattern[str]
    parameters: Mapping[str, Json]
    """Path and query parameters by name."""
    request: str | None
    """The schema of the body."""
    response: str | None
    description: str

    @property
    def collection(self) -> str:
        """The id without the verb: `vpcaccess.projects.locations.connectors`."""
        return self.id.rpartition(".")[0]

    @property
    def action(self) -> str:
        """The last part of the id: `create`."""
        return self.id.rpartition(".")[2]


@cache
def document(api: str) -> Document:
    """Load a document: `document("compute.v1")`."""
    folder = files("googleapiclient") / "discovery_cache" / "documents"
    data = json.loads((folder / f"{api}.json").read_text(encoding="utf-8"))
    common = data.get("parameters", {})
    methods = tuple(_method(api, data["servicePath"], raw, common) for raw in _raw_methods(data))
    return Document(api, data["schemas"], methods)


def _raw_methods(node: Json) -> Iterator[Json]:
    yield from node.get("methods", {}).values()
    for resource in node.get("resources", {}).values():
        yield from _raw_methods(resource)


def _method(api: str, prefix: str, raw: Json, common: Mapping[str, Json]) -> Method:
    parameters = raw.get("parameters", {})
    return Method(
        raw["id"],
        api,
        raw["httpMethod"],
        prefix + raw["path"],
        _pattern(prefix + raw["path"], parameters),
        {**common, **parameters},
        raw.get("request", {}).get("$ref"),
        raw.get("response", {}).get("$ref"),
        raw.get("description", ""),
    )


def _pattern(path: str, parameters: Mapping[str, Json]) -> re.Pattern[str]:
    """The expression that the paths of a method match: `{+name}` takes slashes, as its own pattern says."""
    parts, position = [], 0
    for template in _TEMPLATE.finditer(path):
        reserved, name = template.groups()
        inner = parameters.get(name, {}).get("pattern", "^.+$").removeprefix("^").removesuffix("$")
        parts += [re.escape(path[position : template.start()]), f"(?P<{name}>{inner if reserved else '[^/:]+'})"]
        position = template.end()
    return re.compile("".join([*parts, re.escape(path[position:])]))


class MethodMatch(NamedTuple):
    """A method, and the parameters that the path has."""

    method: Method
    parameters: dict[str, str]


class MethodRouter:
    """Finds the method that a request means."""

    def __init__(self, apis: tuple[str, ...] = APIS) -> None:
        self._documents = tuple(document(api) for api in apis)
        self._by_shape: dict[tuple[str, int], list[tuple[str, Method]]] = {}
        for one in self._documents:
            for method in one.methods:
                for count in _lengths(method):
                    self._by_shape.setdefault((method.verb, count), []).append((one.name, method))

    def find(self, verb: str, path: str, api: str | None = None) -> MethodMatch | None:
        """The method of a request; `path` has no leading slash, `api` is what its host name says (`run`).

        Where several methods have a path, the one with the fewest parameters is meant, then the first API's.  Slashes
        inside of names (`SLASH`) are as good as others, unless no method has such a path.
        """
        for form in dict.fromkeys((path.replace(SLASH, "/"), path)):
            found = [
                MethodMatch(method, {name: value.replace(SLASH, "/") for name, value in hit.groupdict().items()})
                for name, method in self._by_shape.get((verb, form.count("/") + 1), ())
                if api in (None, name) and (hit := method.pattern.fullmatch(form))
            ]
            if found:
                best = min(found, key=_generality)
                # `firewallPolicies/getEffectiveFirewalls` could be the name of a policy, too.
                alike = (m for m in found if m.method.api == best.method.api and _generality(m) == _generality(best))
                return min(alike, key=lambda match: len(match.parameters))
        return None

    def named(self, api: str) -> bool:
        """Whether an API of this name is served."""
        return any(one.name == api for one in self._documents)

    def verbs(self, path: str) -> set[str]:
        """The verbs that some method takes at a path."""
        return {verb for verb in ("GET", "POST", "PUT", "PATCH", "DELETE") if self.find(verb, path)}


def _generality(match: MethodMatch) -> tuple[int, bool]:
    """How much of a path a method leaves open: characters that its parameters took, and whether a verb is among them.

    `services/hello:getIamPolicy` could be the name of a service, but is a call of `{resource}:getIamPolicy`.
    """
    taken = sum(map(len, match.parameters.values())) if ".*" in match.method.pattern.pattern else 0
    return taken, ":" not in match.method.path


_MANY = 12
"""Segments up to which a pattern that takes any number of them is looked for."""


def _lengths(method: Method) -> Iterator[int]:
    """How many segments a path of the method can have."""
    expression = method.pattern.pattern
    count = re.sub(r"\[[^\]]*\]|\(\?P<\w+>|\\.", "", expression).count("/") + 1
    yield from range(count, _MANY) if ".*" in expression else (count,)
