"""Cloud Build v1: the one thing that `gcloud functions deploy` asks it.  The testbed builds nothing."""

from __future__ import annotations

from testbed.api.calls.call import Call, serves
from testbed.json_object import Json
from testbed.model.core.projects import project_number
from testbed.model.core.resource import segment


@serves("cloudbuild.v1", "projects.locations.getDefaultServiceAccount")
def default_service_account(call: Call) -> Json:
    """Who would build: of the two that it can be, the one for which gcloud does not ask for roles (our choice)."""
    project = segment(call.text("name"), "projects")
    email = f"{project_number(project)}@cloudbuild.gserviceaccount.com"
    return {"name": call.text("name"), "serviceAccountEmail": f"projects/{project}/serviceAccounts/{email}"}
