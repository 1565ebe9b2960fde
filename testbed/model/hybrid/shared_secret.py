"""The shared secret of an IPsec tunnel.  A topology file may name it, `secret:NAME`, and leave the value out."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, GetCoreSchemaHandler, ValidationInfo, WithJsonSchema
from pydantic_core import CoreSchema, core_schema

from testbed.model.core.resource import defaults

NAMED = "secret:"
"""How a value begins that is the name of a secret."""
_SHORTEST, _LONGEST = 8, 64


class Secret:
    """Annotation of a secret's field: a name is replaced by the value, where values are known."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_after_validator_function(self._resolve, handler(source))

    @staticmethod
    def _resolve(value: str, info: ValidationInfo) -> str:
        secrets = defaults(info).secrets
        if secrets is not None and value.startswith(NAMED):
            name = value.removeprefix(NAMED)
            try:
                value = secrets[name]
            except KeyError:
                raise ValueError(f"secret {name!r} is not known here: give its value by --secrets FILE") from None
        if len(value) < _SHORTEST:
            raise ValueError(f"must have at least {_SHORTEST} characters")
        if len(value) > _LONGEST:
            raise ValueError(f"must have at most {_LONGEST} characters")
        return value


SharedSecret = Annotated[str, Secret(), WithJsonSchema({"type": "string", "minLength": _SHORTEST}), Field(repr=False)]
