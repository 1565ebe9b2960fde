"""What is wrong with a resource is said in words of YAML and JSON, and never in those of Python."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest
from pydantic import ValidationError

from testbed.model.core.faults import faults
from testbed.model.core.resource import Defaults, Resource
from testbed.model.kinds import KINDS

WRONG: tuple[Any, ...] = (
    5,
    -1,
    1.5,
    "x",
    "",
    True,
    None,
    [],
    [5],
    ["x", "x"],
    {},
    {"a": 1},
    {5: 5},
    "a" * 5000,
    10**30,
)
OF_PYTHON = re.compile(
    r"\b(tuple|dict|dictionary|NoneType|None|Input|String|str|int|bool|instance|attribute|set)\b", re.IGNORECASE
)


def rules(kind: type[Resource]) -> Iterator[str]:
    """What is said of each field with each value."""
    keys = [field.alias or name for name, field in kind.model_fields.items()]
    for key, value in product(keys, WRONG):
        try:
            kind.model_validate({"name": "a", key: value}, context=Defaults("p", "us-central1", "us-central1-a"))
        except ValidationError as error:
            yield from (fault.rule for fault in faults(error, kind))


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_no_word_of_python_is_in_an_error(kind: str) -> None:
    found = {rule for rule in rules(KINDS[kind].model) if OF_PYTHON.search(rule.replace("'None'", ""))}
    assert found == set()
