"""What all resources share: Google's field names outside, Python's inside, and references by name.

A resource is written as Google's APIs print it (`ipCidrRange`).  The spelling of gcloud's flags is read as well
(`ip-cidr-range`, and the flag's own word where it differs from the field's, as `range`), and that of its values
(`private-ranges-only`).
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, NamedTuple

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from testbed.errors import GoogleText
from testbed.json_object import Json
from testbed.model.core.names import ACCOUNT, COMPUTE_NAME, NAME_RULE


class Defaults(NamedTuple):
    """gcloud's properties core/project, compute/region and compute/zone: what a short name is completed with."""

    project: str
    region: str | None = None
    zone: str | None = None
    folder: str = "."
    """Where relative paths of source folders start: the folder of the topology file."""
    secrets: Mapping[str, str] | None = None
    """Values of secrets that are written as `secret:NAME`; None where such a text is a value like any other."""
    lenient: bool = False
    """Whether keys that the model has no field for are passed over (an API's may have no effect on packets)."""


def defaults(info: ValidationInfo) -> Defaults:
    """The defaults that validation runs with."""
    context = info.context
    return context if isinstance(context, Defaults) else Defaults(project="local")


class Resource(BaseModel):
    """A resource, or a message inside one.  Unknown keys are errors."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, alias_generator=to_camel, validate_by_name=False, validate_by_alias=True
    )

    gcloud: ClassVar[Mapping[str, str]] = {}
    """Flags whose word is not the field's: flag to API field."""

    not_built: ClassVar[Mapping[str, str]] = {}
    """Fields of Google's that would have an effect which the testbed cannot make, and what it says of them."""

    @model_validator(mode="before")
    @classmethod
    def _read(cls, data: Any, info: ValidationInfo) -> Any:
        if not isinstance(data, dict):
            return data
        spellings = cls.spellings()
        spelled: Json = {}
        for key, value in data.items():
            name = spellings.get(key, str(key))
            if name in spelled:
                raise ValueError(f"{key} is another spelling of {name}, which is given as well")
            spelled[name] = value
        for name, reason in cls.not_built.items():
            if spelled.get(name):
                raise ValueError(f"{name}: {reason}")
        known = defaults(info)
        if known.lenient:
            fields = {field.alias or name for name, field in cls.model_fields.items()}
            spelled = {name: value for name, value in spelled.items() if name in fields}
        return cls.prepare(spelled, known)

    @classmethod
    def spellings(cls) -> Mapping[str, str]:
        """The keys that are read in addition to the API's own: flag of gcloud to API field."""
        flags = {name.replace("_", "-"): field.alias or name for name, field in cls.model_fields.items()}
        return {**flags, **cls.gcloud}

    @classmethod
    def prepare(cls, data: Json, known: Defaults) -> Json:  # noqa: ARG003 - for those who override it
        """Complete the input, which has the API's field names by now, before its fields are validated."""
        return data

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Allow gcloud's spellings too, as patterns: an editor accepts them, and suggests the API's."""
        reference = handler(schema)
        body = handler.resolve_ref_schema(reference)
        properties, required = body.get("properties", {}), body.get("required", [])
        for field in properties.values():
            field.pop("title", None)  # it would say the key again
        flags = {flag: field for flag, field in cls.spellings().items() if flag != field}
        body["patternProperties"] = {f"^{flag}$": properties[field] for flag, field in flags.items()}
        body["required"] = []
        for name in required:
            keys = [name, *(flag for flag in flags if flags[flag] == name)]
            if len(keys) == 1:
                body["required"].append(name)
            else:
                body.setdefault("allOf", []).append({"anyOf": [{"required": [key]} for key in keys]})
        return reference


@dataclass(frozen=True, slots=True, eq=False)
class Enumerated:
    """Annotation of an enum: reads gcloud's spelling, `all-traffic` for `ALL_TRAFFIC`, and its synonyms."""

    synonyms: Mapping[str, str]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self._read, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        made = handler(schema)
        values = made["enum"] if "enum" in made else [made.pop("const")]
        flags = [text.lower().replace("_", "-") for text in (*values, *self.synonyms)]
        return {**made, "enum": list(dict.fromkeys([*values, *flags]))}

    def _read(self, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        constant = value.upper().replace("-", "_")
        return self.synonyms.get(constant, constant)


Constant = Enumerated({})


def _compute_name(value: str) -> str:
    if not COMPUTE_NAME.fullmatch(value):
        raise ValueError(GoogleText(NAME_RULE))
    return value


ComputeName = Annotated[
    str, AfterValidator(_compute_name), WithJsonSchema({"type": "string", "pattern": f"^{COMPUTE_NAME.pattern}$"})
]


def _account(value: str) -> str:
    if not ACCOUNT.fullmatch(value):
        raise ValueError("must be the address of a service account: NAME@PROJECT.iam.gserviceaccount.com")
    return value


Account = Annotated[str, AfterValidator(_account)]
"""A service account, by its address."""

_URL = re.compile(r"https?://[^/]+/(?:compute/)?(?:v1|beta|alpha)/")


def relative(value: str) -> str:
    """A resource's relative name: a self link or full URL without scheme, host and API version."""
    return _URL.sub("", value)


def last(name: str) -> str:
    """The last segment of a resource name."""
    return name.rsplit("/", 1)[-1]


def segment(name: str, collection: str) -> str:
    """The segment after `collection` in a resource name: `segment('projects/p/regions/r/x/y', 'regions')` is `r`.

    Raises:
        ValueError: if the name has no such collection.
    """
    parts = name.split("/")
    return parts[parts.index(collection) + 1]


def qualify(value: str, collection: str, known: Defaults) -> str:
    """Complete a reference to `projects/P/<scope>/<collection>/<name>`.

    `collection` carries its scope with a placeholder: `global/networks`, `regions/-/subnetworks`.

    Raises:
        ValueError: if the reference names another kind of resource, or its region is not known.
    """
    name = relative(value)
    shape = collection.split("/")
    parts = name.split("/")
    if len(parts) == 1:
        scope = {"regions": known.region, "zones": known.zone, "locations": known.region}.get(shape[0])
        if "-" in shape and scope is None:
            raise ValueError(f"{value!r} has no region: write it as {collection.replace('-', 'REGION')}/{value}")
        parts = [scope if part == "-" and scope else part for part in shape] + [value]
    if parts[0] != "projects":
        parts = ["projects", known.project, *parts]
    tail = parts[2:]
    fits = len(tail) == len(shape) + 1 and all(want in ("-", have) for want, have in zip(shape, tail, strict=False))
    if not fits:
        raise ValueError(f"{value!r} is not a reference to {collection.replace('-', 'REGION')}/NAME")
    return "/".join(parts)


@dataclass(frozen=True, slots=True)
class Reference:
    """Annotation of a field that names a resource: `Annotated[str, Reference("global/networks")]`."""

    collection: str
    required: bool = True
    """Whether what it names has to exist."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_after_validator_function(self._complete, handler(source))

    def _complete(self, value: str, info: ValidationInfo) -> str:
        return qualify(value, self.collection, defaults(info))


@dataclass(frozen=True, slots=True)
class SourceFolder:
    """Annotation of a field that names a local folder; a relative path starts at the topology file."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_after_validator_function(self._complete, handler(source))

    @staticmethod
    def _complete(value: str, info: ValidationInfo) -> str:
        return posixpath.normpath(posixpath.join(defaults(info).folder, value))


Folder = Annotated[str, SourceFolder()]
"""A local folder with source code."""

NetworkRef = Annotated[str, Reference("global/networks")]
SubnetworkRef = Annotated[str, Reference("regions/-/subnetworks")]
AddressRef = Annotated[str, Reference("regions/-/addresses")]
InstanceRef = Annotated[str, Reference("zones/-/instances")]
GatewayRef = Annotated[str, Reference("regions/-/targetVpnGateways")]
TunnelRef = Annotated[str, Reference("regions/-/vpnTunnels")]
RouterRef = Annotated[str, Reference("regions/-/routers")]
LinkedAttachmentRef = Annotated[str, Reference("regions/-/interconnectAttachments")]
AttachmentRef = Annotated[str, Reference("regions/-/interconnectAttachments", required=False)]
"""Of an on-prem router: the attachment may be made later, by the API."""
CONNECTOR = Reference("locations/-/connectors", required=False)
"""Of a service: that the connector is missing is the service's own trouble (behaviour 1.10.5)."""
PEER = Reference("global/networks", required=False)
"""Of one side of a peering: it is inactive as long as the other is missing (behaviour 4.5.1)."""
PeerRef = Annotated[str, PEER]
ConnectorRef = Annotated[str, CONNECTOR]


def short(collection: str) -> Any:
    """A regional compute scope given as a URL or a short name (`region`, `zone`): its short name."""

    def shorten(value: str) -> str:
        name = last(relative(value))
        if not COMPUTE_NAME.fullmatch(name):
            raise ValueError(f"{value!r} is not the name of a {collection}")
        return name

    return AfterValidator(shorten)


RegionName = Annotated[str, short("region")]
ZoneName = Annotated[str, short("zone")]


def region_of(zone: str) -> str:
    """The region of a zone: `us-central1` of `us-central1-a`."""
    return zone.rsplit("-", 1)[0]


class ComputeResource(Resource):
    """A Compute Engine resource: a short name, in the project of its self link or of the topology."""

    collection: ClassVar[str]
    """The collection, with its scope: `global/networks`, `regions/-/subnetworks`."""

    name: ComputeName
    description: str = ""
    self_link: str = ""

    @classmethod
    def prepare(cls, data: Json, known: Defaults) -> Json:
        """Fill in the scope from the defaults, as gcloud's compute/region and compute/zone do, and the self link."""
        field = cls._scope()
        value = {"region": known.region, "zone": known.zone}.get(field or "")
        if field and value:
            data = {field: value, **data}
        place = last(str(data.get(field, "-"))) if field else ""
        link = relative(str(data.get("selfLink", "")))
        project = segment(link, "projects") if link.startswith("projects/") else known.project
        name = data.get("name")
        return {**data, "selfLink": f"projects/{project}/{cls.collection.replace('-', place)}/{name}"}

    @classmethod
    def _scope(cls) -> str | None:
        """The field that says where the resource is, unless it is global."""
        return {"regions": "region", "zones": "zone"}.get(cls.collection.split("/")[0])

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """As for every resource; but the scope may come from the defaults."""
        reference = super().__get_pydantic_json_schema__(schema, handler)
        body = handler.resolve_ref_schema(reference)
        body["required"] = [name for name in body["required"] if name != cls._scope()]
        return reference

    @property
    def full_name(self) -> str:
        """The relative resource name: `projects/P/global/networks/N`."""
        return self.self_link


class NamedResource(Resource):
    """A resource of Google's newer APIs: its name is the full one, `projects/P/locations/L/<collection>/ID`."""

    collection: ClassVar[str]

    name: str

    @classmethod
    def prepare(cls, data: Json, known: Defaults) -> Json:
        """Complete a short name with project and region."""
        name = data.get("name")
        return {**data, "name": qualify(name, cls.collection, known)} if isinstance(name, str) else data

    @property
    def full_name(self) -> str:
        """The resource name."""
        return self.name

    @property
    def region(self) -> str:
        """The region (Google's `location`)."""
        return segment(self.name, "locations")

    @property
    def id(self) -> str:
        """The last segment of the name."""
        return last(self.name)
