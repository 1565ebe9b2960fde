"""Writes `docs/api.md`: method by method, what is implemented, whether packets feel it, and which tests call it.

    make api-docs

runs the tests of the API and writes the file; what a test calls is noted while it does.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from testbed.api import services
from testbed.api.calls.call import HANDLERS, handler_of
from testbed.api.calls.dispatch import Dispatcher
from testbed.api.contract.discovery import APIS, Method, MethodMatch, document
from testbed.control.accept.plane import ControlPlane
from testbed.control.state.operations import Operation
from testbed.model.kinds import KINDS

VARIABLE = "TESTBED_API_DOCS"
"""The file to write, if it is set."""
_HEAD = """# The APIs, method by method

Written by `make api-docs` from Google's discovery documents and from what the tests call; do not edit it.

*Packets* says whether a call changes what packets do: **yes** where it changes a resource that the network is made
from, no where the testbed keeps the resource for its clients only, and nothing where a method only reads. *Tests* are
those that call the method (the fuzz test calls all of them). A method that is not listed answers 501 and names itself.
"""


class Calls:
    """Which test calls which method, and which methods change what packets do."""

    def __init__(self) -> None:
        self.tests: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        self.effective: set[object] = set()
        """Handlers: versions of an API share them."""

    def watch(self, patch: pytest.MonkeyPatch) -> None:
        """Note every call that is dispatched, and every operation that is accepted."""
        dispatch, submit = Dispatcher.dispatch, ControlPlane.submit

        async def noted(dispatcher: Dispatcher, match: MethodMatch, *rest: Any, **named: Any) -> Any:
            test = os.environ.get("PYTEST_CURRENT_TEST", "").split("::")[0]
            self.tests[match.method.api, match.method.id].add(Path(test).name)
            return await dispatch(dispatcher, match, *rest, **named)

        def accepted(plane: ControlPlane, operation: Operation) -> Operation:
            if any(change.kind in KINDS for change in operation.changes):
                self.effective.add(HANDLERS.get((operation.api, operation.method.partition(".")[2])))
            return submit(plane, operation)

        patch.setattr(Dispatcher, "dispatch", noted)
        patch.setattr(ControlPlane, "submit", accepted)

    def page(self) -> str:
        """The text of the file."""
        services.register_all()
        return "".join([_HEAD, *(part for api in APIS for part in self._api(api))])

    def _api(self, api: str) -> Iterator[str]:
        methods = sorted(document(api).methods, key=lambda method: method.id)
        served = [method for method in methods if handler_of(method)]
        yield f"\n## {api}\n\n{len(served)} of {len(methods)} methods.\n\n"
        if served:
            yield "| method | packets | tests |\n| --- | --- | --- |\n"
        for method in served:
            yield f"| `{method.id}` | {self._effect(method)} | {', '.join(self._tests(method))} |\n"

    def _effect(self, method: Method) -> str:
        if method.verb == "GET":
            return ""
        return "**yes**" if handler_of(method) in self.effective else "no"

    def _tests(self, method: Method) -> list[str]:
        return sorted(name.removesuffix(".py") for name in self.tests[method.api, method.id] if "fuzz" not in name)


@pytest.fixture(scope="session", autouse=True)
def _documented() -> Iterator[None]:
    """Where the file is asked for: note what the tests call, and write it."""
    target = os.environ.get(VARIABLE)
    if not target:
        yield
        return
    calls = Calls()
    with pytest.MonkeyPatch.context() as patch:
        calls.watch(patch)
        yield
    Path(target).write_text(calls.page(), encoding="utf-8")
