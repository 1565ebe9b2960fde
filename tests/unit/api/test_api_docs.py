"""`docs/api.md` lists what is served, and nothing else."""

from __future__ import annotations

import re

from testbed.api import services
from testbed.api.calls.call import handler_of
from testbed.api.contract.discovery import APIS, document
from testbed.paths import PROJECT


def test_the_table_lists_the_methods_that_are_served() -> None:
    services.register_all()
    sections = re.split(r"^## ", (PROJECT / "docs" / "api.md").read_text(), flags=re.MULTILINE)[1:]
    listed = {text.split("\n", 1)[0]: set(re.findall(r"^\| `([^`]+)`", text, re.MULTILINE)) for text in sections}
    served = {api: {method.id for method in document(api).methods if handler_of(method)} for api in APIS}
    assert listed == served, "run `make api-docs`"
