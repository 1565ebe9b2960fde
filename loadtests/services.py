"""What every scenario shares: its arguments on Locust's command line, and a user of services behind a connector.

A scenario is a Locust file in this folder; `testbed load SCENARIO` runs it, and so does Locust alone:

    locust -f mixed.py --headless -u 20 -r 10 -t 30s --services run=http://run.example@203.0.113.2 --vm-node vm
"""

from __future__ import annotations

import itertools
import json
import uuid
from argparse import ArgumentTypeError, Namespace
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, ip_address
from typing import Any, ClassVar, cast
from urllib.parse import urlsplit

from locust import FastHttpUser, events
from locust.argument_parser import LocustArgumentParser
from locust.contrib.fasthttp import ResponseContextManager
from locust.env import Environment
from locust.exception import StopTest


@dataclass(frozen=True)
class Service:
    """A deployed service: the URL that its callers know, and the front end that answers for it."""

    name: str
    base: str
    """Where requests go: `http://FRONT-END/PATH`."""
    host: str
    """The Host header, by which the front end finds the service."""

    @classmethod
    def parse(cls, text: str) -> Service:
        """`NAME=URL@FRONT-END`; without a front end the URL's own host is connected to."""
        name, equals, rest = text.partition("=")
        url, _, front_end = rest.partition("@")
        parts = urlsplit(url)
        if not (name and equals and parts.scheme == "http" and parts.netloc):
            raise ArgumentTypeError(f"{text!r} is not NAME=http://HOST[/PATH][@FRONT-END[:PORT]]")
        return cls(name, f"http://{front_end or parts.netloc}{parts.path.rstrip('/')}", parts.netloc)


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def add_arguments(parser: LocustArgumentParser) -> None:
    """The arguments of every scenario."""
    parser.add_argument(
        "--services",
        nargs="+",
        type=Service.parse,
        default=[],
        include_in_web_ui=False,
        metavar="NAME=URL[@FRONT-END]",
        help="services to call; FRONT-END is the address to connect to",
    )
    parser.add_argument(
        "--connector-ranges",
        nargs="+",
        type=IPv4Network,
        default=[],
        include_in_web_ui=False,
        metavar="PREFIX",
        help="the source address that the VM saw must lie in one of these",
    )
    parser.add_argument("--vm-node", default="", include_in_web_ui=False, help="name of the VM that must have answered")
    parser.add_argument("--think-time", type=float, default=0.1, help="seconds that a user waits between its tasks")


class ServiceUser(FastHttpUser):
    """A user who calls the services in turn, and checks what comes back."""

    abstract = True
    host = "http://services.invalid"  # Locust wants one; every request here names its service's own
    connection_timeout = 10.0
    network_timeout = 20.0
    # Users begin with different services, so that a few users, too, are spread over all of them.
    started: ClassVar[Iterator[int]] = itertools.count()

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self.options = cast(Namespace, environment.parsed_options)
        services: list[Service] = self.options.services
        if not services:
            raise StopTest("--services names no service")
        first = next(self.started) % len(services)
        self.services = itertools.cycle(services[first:] + services[:first])
        self.key = f"load:{uuid.uuid4()}"
        self.writes = itertools.count(1)

    def wait_time(self) -> float:
        """Seconds between two tasks."""
        return float(self.options.think_time)

    def read_vm(self, service: Service, *, fresh: bool = False) -> None:
        """Service, connector, VM and back.  `fresh` makes the service open a new connection for it, a new flow."""
        path = "/vm?fresh=1" if fresh else "/vm"
        with self.request("GET", service, path, "vm") as response:
            answer = answered(response)
            if answer is None:
                return
            body = answer.get("body")
            if isinstance(body, dict) and "client" in body:
                response.request_meta["context"]["source"] = body["client"]
            problem = vm_problem(answer, self.options.vm_node, self.options.connector_ranges)
            if problem:
                response.failure(problem)

    def write_and_read(self, service: Service) -> None:
        """Writes a value that was never written before to Redis, and reads it back."""
        value = f"{self.key}/{next(self.writes)}"
        with self.request("POST", service, "/redis", "redis write", {"key": self.key, "value": value}) as response:
            if answered(response) is None:
                return
        with self.request("GET", service, f"/redis?key={self.key}", "redis read") as response:
            answer = answered(response)
            if answer is not None and answer.get("value") != value:
                response.failure("Redis holds another value than the one that was written")

    def request(
        self, method: str, service: Service, path: str, what: str, body: dict[str, str] | None = None
    ) -> ResponseContextManager:
        """A request through the front end, reported as `SERVICE WHAT`."""
        return self.client.request(
            method,
            service.base + path,
            name=f"{service.name} {what}",
            headers={"Host": service.host},
            json=body,
            catch_response=True,
        )


def answered(response: ResponseContextManager) -> dict[str, Any] | None:
    """The JSON object that a service answered with status 200; None, and the request failed, if it is anything else."""
    if response.status_code == 0:
        return None  # no answer at all: Locust has the error already
    try:
        answer = json.loads(response.text or "")
    except ValueError:
        answer = None
    if response.status_code == 200 and isinstance(answer, dict):
        return answer
    message = answer["error"]["message"] if isinstance(answer, dict) and "error" in answer else response.text
    response.failure(f"status {response.status_code}: {str(message)[:200]}")  # type: ignore[no-untyped-call]
    return None


def vm_problem(answer: dict[str, Any], node: str, ranges: Iterable[IPv4Network]) -> str | None:
    """What is wrong with what the VM is said to have answered: its status, who it is, whom it saw."""
    body = answer.get("body")
    if answer.get("status") != 200 or not isinstance(body, dict):
        return f"the VM answered with status {answer.get('status')}"
    if node and body.get("node") != node:
        return f"{body.get('node')} answered instead of {node}"
    try:
        client = ip_address(str(body.get("client")))
    except ValueError:
        return "the VM did not say whom it saw"
    ranges = list(ranges)
    if ranges and not any(client in one for one in ranges):
        return f"the VM saw {client}, which is no connector instance"
    return None
