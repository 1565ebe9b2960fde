"""Secret Manager: the little of it that services need to be given a Redis AUTH string."""

from __future__ import annotations

from typing import Annotated, ClassVar

from testbed.model.core.resource import Reference, Resource

REFERENCE = "sm://"
"""How an environment variable's value names a secret: `sm://PROJECT/SECRET`, as in Berglas.  Our choice."""


class Secret(Resource):
    """A secret whose payload is the AUTH string of a Redis instance (our choice: Google has you add a version)."""

    collection: ClassVar[str] = "secrets"

    name: Annotated[str, Reference("secrets")]
    redis_auth_string: Annotated[str, Reference("locations/-/instances")]
    """The Redis instance."""

    @property
    def full_name(self) -> str:
        """The resource name, `projects/P/secrets/S`."""
        return self.name
