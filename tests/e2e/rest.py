"""A testbed's control plane, called as Google's clients call it, by REST."""

from __future__ import annotations

import json
from typing import Any, Self
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from tests.e2e.program import Program
from tests.e2e.small import file
from tests.waiting import PATIENCE, TRY, eventually

Json = dict[str, Any]


class Rest:
    """The control plane of a testbed that is up."""

    def __init__(self, bed: Program, root: str) -> None:
        self.bed = bed
        self.root = root

    @classmethod
    def up(cls, bed: Program, topology: Json, *options: str) -> Self:
        """`testbed up` with a topology, then its control plane."""
        made = bed.run("up", file(bed, topology), *options, "--json")
        return cls(bed, str(json.loads(made.stdout)["endpoint"]))

    @classmethod
    def of(cls, bed: Program) -> Self:
        """The control plane of one that is up already."""
        return cls(bed, str(bed.json("status")["endpoint"]))

    def call(self, verb: str, path: str, body: Json | None = None) -> Json:
        """Call a method; an error is in the answer as `error`."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"content-type": "application/json"}
        request = Request(f"{self.root}/{path}", data, headers, method=verb)  # noqa: S310 - on loopback
        try:
            with urlopen(request, timeout=PATIENCE) as answer:  # noqa: S310
                found: Json = json.load(answer)
        except HTTPError as error:
            found = json.load(error)
        return found

    def done(self, verb: str, path: str, body: Json | None = None) -> Json:
        """Call a method that takes time, and wait for the end of its operation."""
        operation = self.call(verb, path, body)
        assert "name" in operation, operation
        return self.ended(path, operation)

    def ended(self, path: str, operation: Json) -> Json:
        """An operation when it is over; `path` is that of the call that began it."""
        link = str(operation.get("selfLink", ""))
        where = link.partition("googleapis.com/")[2] or f"{path.partition('/')[0]}/{operation['name']}"

        def look() -> Json | None:
            now = self.call("GET", where)
            return now if _is_over(now) else None

        return operation if _is_over(operation) else eventually(look, f"the end of {operation}")

    def succeeds(self, verb: str, path: str, body: Json | None = None) -> None:
        """Call a method that takes time; its operation ends without an error."""
        operation = self.done(verb, path, body)
        assert "error" not in operation, operation

    def make(self, path: str, body: Json) -> None:
        """Make something, without an error."""
        self.succeeds("POST", path, body)


def _is_over(operation: Json) -> bool:
    return bool(operation.get("done") or operation.get("status") == "DONE")


def client_of(bed: Program, node: str, url: str, *, within: float = TRY) -> str | None:
    """The source address at which the web server behind a URL, a VM's, saw a node; None if it was not reached."""
    result = bed.execute(node, "curl", "-s", "-m", str(within), url, check=False)
    return json.loads(result.stdout)["client"] if result.returncode == 0 else None


def eventually_seen(bed: Program, node: str, url: str) -> str:
    """The same, when it comes to be seen."""
    return str(eventually(lambda: client_of(bed, node, url), f"{node} at {url}"))
