"""App Engine: the one application of the testbed, and where it can be."""

from __future__ import annotations

from testbed.api.calls.call import Answer, Call, serves
from testbed.api.contract import masks
from testbed.api.contract.discovery import document
from testbed.api.services.appengine.names import API, APPLICATIONS, VIEWS, application, operation, page
from testbed.api.services.storage import blobs
from testbed.control.accept.plane import ControlPlane
from testbed.control.state.operations import ResourceChange
from testbed.control.state.resources import Record
from testbed.errors import AlreadyExists, FailedPrecondition, GoogleText, InvalidArgument, NotFound
from testbed.json_object import Json
from testbed.model.core.places import REGIONS
from testbed.model.core.projects import app_engine_account
from testbed.model.serverless.appengine import LEGACY_LOCATIONS
from testbed.nodes.packages.requirements import RUNTIMES

_FIELDS = document(API).schemas["Application"]["properties"]
_OLD = {region: location for location, region in LEGACY_LOCATIONS.items()}
LOCATIONS = tuple(_OLD.get(region, region) for region in REGIONS)
"""App Engine's names of the regions (behaviour 1.12.1)."""


@serves(API, "apps.create")
def create(call: Call) -> Answer:
    """Make the application.  It stays where it is, for good; a testbed has one."""
    name, location = call.body.get("id", ""), call.body.get("locationId", "")
    if location not in (*LOCATIONS, *LEGACY_LOCATIONS.values()):
        raise InvalidArgument(f"location '{location}': App Engine has no such location")
    if not name:
        raise InvalidArgument("application: its id, which is the project's, is missing")
    for record in call.plane.list(APPLICATIONS):
        if record.name == name:
            raise AlreadyExists(GoogleText(f"This application already exists and cannot be re-created: {name}"))
        raise FailedPrecondition(
            f"application '{record.name}': it is there already, and the testbed has one App Engine application"
        )
    for bucket in (f"{name}.appspot.com", f"staging.{name}.appspot.com"):
        blobs.ensure_bucket(call.plane, bucket, name)
    return operation(call, APPLICATIONS, name, ResourceChange(APPLICATIONS, name, call.body))


@serves(API, "apps.get")
def get(call: Call) -> Json:
    """The application."""
    return view(call.plane, application(call))


@serves(API, "apps.patch")
def patch(call: Call) -> Answer:
    """Change settings of the application; none has an effect here but its dispatch rules, which are refused."""
    record = application(call)
    body = masks.apply(
        record.body,
        call.body,
        masks.paths(call.text("updateMask").rstrip(",")),
        known=lambda path: path.partition(".")[0] in _FIELDS,
        output_only=("id", "locationId"),
    )
    _refuse(body)
    return operation(call, APPLICATIONS, record.name, ResourceChange(APPLICATIONS, record.name, body))


@serves(API, "apps.repair")
def repair(call: Call) -> Answer:
    """Make the application's buckets again if they are gone."""
    record = application(call)
    for bucket in (f"{record.name}.appspot.com", f"staging.{record.name}.appspot.com"):
        blobs.ensure_bucket(call.plane, bucket, record.name)
    return operation(call, APPLICATIONS, record.name)


@serves(API, "apps.locations.list")
def locations(call: Call) -> Json:
    """Where an application can be."""
    app = call.text("appsId")
    return page(call, "locations", [_location(app, location) for location in LOCATIONS], app)


@serves(API, "apps.locations.get")
def location(call: Call) -> Json:
    """One place."""
    given = call.text("locationsId")
    if given not in LOCATIONS:
        raise NotFound(f"location '{given}': not found", reason="notFound")
    return _location(call.text("appsId"), given)


@serves(API, "apps.listRuntimes")
def runtimes(call: Call) -> Json:
    """What can be run from source: Python, whatever its version by the one that the runtime's image has."""
    wanted = call.text("environment", "STANDARD")
    names = RUNTIMES if wanted != "FLEXIBLE" else ("python",)
    environment = "FLEXIBLE" if wanted == "FLEXIBLE" else "STANDARD"
    return {
        "runtimes": [
            {
                "name": name,
                "displayName": name.replace("python3", "Python 3."),
                "environment": environment,
                "stage": "GA",
            }
            for name in names
        ]
    }


def view(plane: ControlPlane, record: Record) -> Json:
    """The application as the API prints it."""
    del plane
    name = record.name
    host = f"{name}.appspot.com"
    return {
        "authDomain": "gmail.com",
        "servingStatus": "SERVING",
        "serviceAccount": app_engine_account(name),
        "databaseType": "CLOUD_DATASTORE_COMPATIBILITY",
        "gcrDomain": "us.gcr.io",
        "featureSettings": {"splitHealthChecks": True},
        **record.body,
        "name": f"apps/{name}",
        "id": name,
        "codeBucket": f"staging.{host}",
        "defaultBucket": host,
        "defaultHostname": host,
    }


VIEWS[APPLICATIONS] = view


def _refuse(body: Json) -> None:
    if body.get("dispatchRules"):
        raise InvalidArgument("dispatchRules: the testbed has none; call services by their host names")
    if body.get("servingStatus", "SERVING") != "SERVING":
        raise InvalidArgument("servingStatus: the testbed cannot disable an application; stop its versions")


def _location(app: str, location: str) -> Json:
    return {
        "name": f"apps/{app}/locations/{location}",
        "locationId": location,
        "labels": {"cloud.googleapis.com/region": location},
        "metadata": {
            "@type": "type.googleapis.com/google.appengine.v1.LocationMetadata",
            "standardEnvironmentAvailable": True,
            "flexibleEnvironmentAvailable": True,
        },
    }
