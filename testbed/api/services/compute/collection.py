"""What all of Compute Engine's collections have in common: insert, get, list, aggregatedList, patch, update, delete.

A module declares its `Collection`, and with it all of these methods that the discovery document has are served.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from testbed.api.calls.call import HANDLERS, Answer, Call
from testbed.api.calls.clock import compute_timestamp
from testbed.api.contract import filters, listing, masks
from testbed.api.contract.discovery import document
from testbed.api.services.compute.names import fingerprint, numeric_id, url
from testbed.api.services.compute.references import present, rewrite
from testbed.control.accept.plane import ControlPlane, InvalidResource, busy
from testbed.control.state.operations import Operation, ResourceChange
from testbed.control.state.resources import Record, model
from testbed.errors import AlreadyExists, FailedPrecondition, GoogleText, InvalidArgument, NotFound
from testbed.json_object import Json
from testbed.model.core.annotations import annotated
from testbed.model.core.names import COMPUTE_NAME, NAME_RULE
from testbed.model.core.places import REGIONS, ZONES, zones
from testbed.model.core.resource import Reference, last, relative
from testbed.model.kinds import KINDS

API = "compute.v1"
_PLACES = {"regions": "region", "zones": "zone"}


def same(body: Json) -> Json:
    """A body that has no defaults."""
    return body


def nothing(body: Json, _: Call) -> Json:
    """A body that needs no completion."""
    return body


def no_more(_: ControlPlane, __: Record) -> Json:
    """A resource of which there is no more to say."""
    return {}


def none_given(_: ControlPlane, __: str) -> Iterable[Record]:
    """No resources but those that are made."""
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """One collection: `Collection(name="firewalls", singular="firewall", scope="global")`."""

    name: str
    singular: str
    """The name of the path parameter, and of the resource in `kind`."""
    scope: str
    """`global`, `regions` or `zones`."""
    defaults: Callable[[Json], Json] = same
    """Fills in the fields that Google fills in, whether an API or a topology file made the resource."""
    complete: Callable[[Json, Call], Json] = nothing
    """Fills in what depends on the call when a body is inserted or changed, and refuses what no model does."""
    view: Callable[[ControlPlane, Record], Json] = no_more
    """Output fields of a resource, in addition to those that all resources have."""
    given: Callable[[ControlPlane, str], Iterable[Record]] = none_given
    """The resources of a project that are there without having been made."""
    references: Mapping[str, str] = field(default_factory=dict)
    """Fields that name other resources, which have to be there, with their collections, if no model knows of them."""
    immutable: frozenset[str] = frozenset()
    """Fields that a patch or an update may not change."""
    labelled: bool = False
    """Whether the resource has labels, with a fingerprint of their own."""
    hidden: frozenset[str] = frozenset()
    """Fields of ours, or secrets, that are never printed."""
    fingerprinted: bool = False
    """Whether the resource has a fingerprint, which an update must name."""
    message: str = ""
    """The word in `kind`, where it is not the singular."""

    segment: str = ""
    """The collection in its resources' names, where it is not the API's word: `addresses` of `globalAddresses`."""

    @property
    def kind(self) -> str:
        """The kind of its resources in the store."""
        return f"compute.{self.name}"

    # -- names ----------------------------------------------------------------------------------------------------

    def parent(self, call: Call) -> str:
        """The relative name of the collection that a call is about: `projects/P/global/firewalls`."""
        return f"projects/{call.text('project')}/{self.place(call)}/{self.segment or self.name}"

    def place(self, call: Call) -> str:
        """The scope that a call is in: `global`, `regions/R`, `zones/Z`.

        Raises:
            InvalidArgument: Google has no such region or zone.
        """
        if self.scope == "global":
            return "global"
        place = call.text(_PLACES[self.scope])
        if place not in (REGIONS if self.scope == "regions" else ZONES):
            raise InvalidArgument(
                GoogleText(f"Invalid value for field '{_PLACES[self.scope]}': '{place}'. Unknown {self.scope[:-1]}.")
            )
        return f"{self.scope}/{place}"

    def record(self, call: Call, name: str = "") -> Record:
        """The resource that a call names.

        Raises:
            NotFound: there is none.
        """
        full = f"{self.parent(call)}/{name or call.text(self.singular)}"
        found = self.find(call, full)
        if found is None and call.text(self.singular).isdigit():
            there = call.plane.list(self.kind, f"{self.parent(call)}/")
            found = next((r for r in there if resource_id(r) == call.text(self.singular)), None)
        if found is None:
            raise NotFound(GoogleText(f"The resource '{full}' was not found"), reason="notFound")
        return found

    def find(self, call: Call, full: str) -> Record | None:
        """A resource of the project that a call is about, whether it was made or is just there."""
        if made := call.plane.find(self.kind, full):
            return made
        return next((r for r in self.given(call.plane, call.text("project")) if r.name == full), None)

    def settled(self, call: Call, name: str = "") -> Record:
        """The resource that a call names, to be changed.

        Raises:
            NotFound: there is none.
            FailedPrecondition: an operation on it is under way.
        """
        return require_settled(self.record(call, name))

    def new(self, call: Call, name: str) -> str:
        """The full name of a resource that is to be made.

        Raises:
            InvalidResource: nothing can be called that.
            AlreadyExists: something is.
        """
        if not COMPUTE_NAME.fullmatch(name):
            raise InvalidResource(("name",), name, GoogleText(NAME_RULE))
        full = f"{self.parent(call)}/{name}"
        if self.find(call, full):
            raise AlreadyExists(GoogleText(f"The resource '{full}' already exists"), reason="alreadyExists")
        return full

    def records(self, plane: ControlPlane, project: str, prefix: str) -> list[Record]:
        """The resources of a project whose names begin so."""
        made = plane.list(self.kind, prefix)
        names = {record.name for record in made}
        given = (r for r in self.given(plane, project) if r.name.startswith(prefix) and r.name not in names)
        return [*made, *given]

    # -- bodies ---------------------------------------------------------------------------------------------------

    def completed(self, body: Json, call: Call) -> Json:
        """A body with all that Google fills in."""
        return self.complete(self.defaults(body), call)

    def resolved(self, call: Call, body: Json, name: str) -> Json:
        """A body with all references complete, valid for packets.

        Raises:
            InvalidResource: it is not.
        """
        place = self.place(call)
        scope = _PLACES.get(self.scope)
        region = place.rpartition("/")[2] if self.scope == "regions" else None
        zone = place.rpartition("/")[2] if self.scope == "zones" else None
        known = call.scope(call.text("project"), region=region or (zone and zone.rpartition("-")[0]), zone=zone)
        whole = {**body, "name": last(name), "selfLink": name}
        if scope:
            whole[scope] = place.rpartition("/")[2]
        whole = call.plane.resolve(self.kind, whole, known)
        for key, collection in self.references.items():
            path = key.split(".")
            rewrite(whole, path, partial(present, call.plane, tuple(path), collection, known))
        return whole

    def operation(
        self, call: Call, target: str, changes: tuple[ResourceChange, ...], verb: str, **facts: Any
    ) -> Operation:
        """An operation of a call."""
        facts = {"scope": self.place(call), "type": verb, **facts}
        return call.operation(self.kind, target, changes=changes, facts=facts)

    def submit(self, call: Call, record: Record, body: Json, verb: str) -> Operation:
        """Accept a new body of a resource that is there."""
        name = record.name
        resolved = self.resolved(call, body, name)
        return call.plane.submit(self.operation(call, name, (ResourceChange(self.kind, name, resolved),), verb))

    def printed(self, plane: ControlPlane, record: Record) -> Json:
        """A resource as the API prints it."""
        body = {key: copy.deepcopy(v) for key, v in self.defaults(record.body).items() if key not in self.hidden}
        if record.kind in KINDS and record.number:  # what nobody made is printed as it is
            for found in annotated(model(record.kind, record.body, plane.general), Reference):
                rewrite(body, [str(part) for part in found.path], url)
        for key in self.references:
            rewrite(body, key.split("."), url)
        result: Json = {
            "kind": f"compute#{self.message or self.singular}",
            "id": resource_id(record),
            "creationTimestamp": compute_timestamp(record.created),
            **body,
            "name": last(record.name),
            "selfLink": url(record.name),
        }
        parts = record.name.split("/")
        if parts[2] == self.scope and (scope := _PLACES.get(self.scope)):
            result[scope] = url("/".join(parts[:4]))
        if self.fingerprinted:
            result["fingerprint"] = self.fingerprint(record)
        if self.labelled:
            result["labelFingerprint"] = labels_fingerprint(record)
        return {**result, **self.view(plane, record)}

    def fingerprint(self, record: Record) -> str:
        """The fingerprint of a resource as it is now."""
        return fingerprint(record.name, record.number, record.generation)

    def register(self, *only: str) -> Collection:
        """Serve all methods, or `only` some, that the discovery document has and that need no code of their own."""
        actions: Mapping[str, Callable[[Call], Answer]] = {
            "insert": partial(insert, self),
            "get": partial(get, self),
            "list": partial(list_, self),
            "aggregatedList": partial(aggregated, self),
            "delete": partial(delete, self),
            "patch": partial(patch, self),
            "update": partial(update, self),
            **({"setLabels": partial(set_labels, self)} if self.labelled else {}),
        }
        for method in document(API).methods:
            if method.collection == f"compute.{self.name}" and method.action in (only or actions):
                HANDLERS.setdefault((API, f"{self.name}.{method.action}"), actions[method.action])
        return self


def resource_id(record: Record) -> str:
    """The number of a resource: another one if it is made anew."""
    return numeric_id(f"{record.name}#{record.number}")


def require_settled(record: Record) -> Record:
    """A resource that no operation is under way on.

    Raises:
        FailedPrecondition: one is.
    """
    if record.pending:
        raise busy(record)
    return record


def insert(collection: Collection, call: Call) -> Answer:
    """Make a resource.

    Raises:
        InvalidArgument, AlreadyExists: as Google refuses it.
    """
    full = collection.new(call, call.body.get("name", ""))
    body = collection.resolved(call, collection.completed(call.body, call), full)
    changes = (ResourceChange(collection.kind, full, body),)
    return call.plane.submit(collection.operation(call, full, changes, "insert"))


def get(collection: Collection, call: Call) -> Json:
    """One resource."""
    return collection.printed(call.plane, collection.record(call))


def list_(collection: Collection, call: Call) -> Json:
    """The resources of a scope."""
    parent = collection.parent(call)
    records = collection.records(call.plane, call.text("project"), f"{parent}/")
    found = [collection.printed(call.plane, record) for record in records]
    page = _page(call, found, parent)
    answer: Json = {
        "kind": f"compute#{collection.message or collection.singular}List",
        "id": parent,
        "selfLink": url(parent),
    }
    return {**answer, **page.answer("items")}


def aggregated(collection: Collection, call: Call) -> Json:
    """The resources of all scopes of a project, by scope."""
    project = call.text("project")
    prefix = f"projects/{project}/"
    found = collection.records(call.plane, project, prefix)
    records = [record for record in found if record.name.split("/")[-2] == collection.name]
    printed = [{**collection.printed(call.plane, record), _KEY: record.name} for record in records]
    page = _page(call, printed, prefix, key=lambda item: str(item[_KEY]))
    items: Json = {}
    for item in page.items:
        shown = {key: value for key, value in item.items() if key != _KEY}
        scope = "/".join(str(item[_KEY]).split("/")[2:-2])
        items.setdefault(scope, {collection.name: []})[collection.name].append(shown)
    for scope in _empty_scopes(collection, every=call.flag("includeAllScopes")) if not call.text("filter") else ():
        items.setdefault(
            scope,
            {
                "warning": {
                    "code": "NO_RESULTS_ON_PAGE",
                    "message": GoogleText(f"There are no results for scope '{scope}' on this page."),
                    "data": [{"key": "scope", "value": scope}],
                }
            },
        )
    answer: Json = {
        "kind": f"compute#{collection.message or collection.singular}AggregatedList",
        "id": f"projects/{project}/aggregated/{collection.name}",
        "items": items,
        "selfLink": url(f"projects/{project}/aggregated/{collection.name}"),
    }
    return {**answer, **page.following}


_KEY = "\0name"
"""Where a printed resource carries its full name while it is paged."""


def delete(collection: Collection, call: Call) -> Answer:
    """Delete a resource that nothing else uses."""
    record = collection.settled(call)
    changes = (ResourceChange(collection.kind, record.name, None),)
    return call.plane.submit(collection.operation(call, record.name, changes, "delete"))


def patch(collection: Collection, call: Call) -> Answer:
    """Merge a body into a resource (RFC 7396)."""
    record = collection.settled(call)
    return changed(collection, call, record, masks.merge(record.body, call.body), "patch")


def update(collection: Collection, call: Call) -> Answer:
    """Put a body in the place of a resource's own; fields that were not sent stay only if they cannot be changed."""
    record = collection.settled(call)
    kept = {key: value for key, value in record.body.items() if key in {"name", "selfLink", "network", "description"}}
    return changed(collection, call, record, {**kept, **call.body}, "update")


def changed(collection: Collection, call: Call, record: Record, body: Json, verb: str) -> Operation:
    """Accept a changed body, if it changes only what may be changed.

    Raises:
        InvalidArgument: it changes what cannot be.
        FailedPrecondition: the fingerprint is not that of the resource as it is.
    """
    given = body.pop("fingerprint", None)
    if collection.fingerprinted and given is not None and given != collection.fingerprint(record):
        raise FailedPrecondition(
            GoogleText("Supplied fingerprint does not match current metadata fingerprint."), reason=_CONDITION
        )
    completed = collection.completed(body, call)
    for key in collection.immutable:
        if _comparable(completed.get(key)) != _comparable(record.body.get(key)):
            raise InvalidResource((key,), completed.get(key), f"{key} cannot be changed")
    return collection.submit(call, record, completed, verb)


def set_labels(collection: Collection, call: Call) -> Answer:
    """Put other labels on a resource.

    Raises:
        FailedPrecondition: the caller does not know the labels that it has.
    """
    record = collection.settled(call, call.text("resource"))
    if call.body.get("labelFingerprint") != labels_fingerprint(record):
        message = "Labels fingerprint either invalid or resource labels have changed"
        raise FailedPrecondition(GoogleText(message), reason=_CONDITION)
    return collection.submit(call, record, {**record.body, "labels": call.body.get("labels", {})}, "setLabels")


def labels_fingerprint(record: Record) -> str:
    """The fingerprint of a resource's labels."""
    return fingerprint(record.name, record.number, "labels", sorted(record.body.get("labels", {}).items()))


_CONDITION = "conditionNotMet"


def _comparable(value: object) -> object:
    return last(relative(value)) if isinstance(value, str) else value


def _page(call: Call, items: list[Json], parent: str, **options: Any) -> listing.Page:
    return listing.page(
        items,
        size=call.number("maxResults"),
        token=call.text("pageToken"),
        order_by=call.text("orderBy"),
        predicate=filters.compute(call.text("filter")),
        collection=parent,
        rules=listing.COMPUTE,
        **options,
    )


def _empty_scopes(collection: Collection, *, every: bool) -> Iterator[str]:
    """The scopes that a resource can be in; with `every`, those of all types ("includeAllScopes", compute v1)."""
    if every or collection.scope == "global":
        yield "global"
    for region in REGIONS:
        if every or collection.scope == "regions":
            yield f"regions/{region}"
        if every or collection.scope == "zones":
            yield from (f"zones/{zone}" for zone in zones(region))
