"""What a load test is asked to do, and the command line of Locust that does it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from urllib.parse import urlsplit

from testbed.errors import InvalidArgument, NotFound

SUPPORT = frozenset({"services", "telemetry"})
"""Files beside the scenarios that are none themselves."""
SCENARIO_NAME = re.compile(r"[a-z][a-z0-9_]*")
RESULTS = "results"
"""Prefix of files that Locust writes, in the folder in which it runs."""
REPORT = "report.html"
STOP_TIMEOUT = 10
"""Seconds that users have at the end to finish what they have begun."""


@dataclass(frozen=True, slots=True)
class LoadTarget:
    """A service to call: the URL that its callers know, and the address of the front end to connect to.

    Without a front end, the URL's host name is resolved where the load generator runs.
    """

    name: str
    url: str
    front_end: str | None = None
    """`ADDRESS` or `ADDRESS:PORT`."""

    def __post_init__(self) -> None:
        """Raises InvalidArgument for a name or URL that Locust's command line could not carry."""
        if not self.name or set(self.name) & set("=@ "):
            raise InvalidArgument(f"service name {self.name!r}: it is empty, or has '=', '@' or a space in it")
        parts = urlsplit(self.url)
        if parts.scheme != "http" or not parts.hostname or "@" in self.url:
            raise InvalidArgument(f"service {self.name}: {self.url!r} is not of the form http://HOST[:PORT][/PATH]")

    def __str__(self) -> str:
        at = f"@{self.front_end}" if self.front_end else ""
        return f"{self.name}={self.url}{at}"


@dataclass(frozen=True, slots=True)
class LoadRequest:
    """One load test.  `scenario` is the name of a file in `loadtests/`, or the path of a Locust file of the user's."""

    scenario: str
    services: tuple[LoadTarget, ...] = ()
    users: int = 20
    spawn_rate: float = 10.0
    """Users that begin per second."""
    duration: int = 30
    """Seconds."""
    connector_ranges: tuple[str, ...] = ()
    """Prefixes; a request whose source address at the VM is in none of them counts as failed.  None given: no check."""
    vm_node: str | None = None
    """The VM that must have answered."""
    think_time: float = 0.1
    """Seconds that a user waits between its tasks."""

    def __post_init__(self) -> None:
        """Raises InvalidArgument for figures that make no load."""
        for name, value, lowest in (
            ("users", self.users, 1),
            ("duration", self.duration, 1),
            ("think time", self.think_time, 0),
        ):
            if value < lowest:
                raise InvalidArgument(f"{name} {value}: must be at least {lowest}")
        if self.spawn_rate <= 0:
            raise InvalidArgument(f"spawn rate {self.spawn_rate}: must be greater than 0")
        for prefix in self.connector_ranges:
            try:
                IPv4Network(prefix)
            except ValueError as error:
                raise InvalidArgument(f"connector range {prefix!r}: {error}") from None

    @property
    def name(self) -> str:
        """The scenario's name, also where it was given as a path."""
        return Path(self.scenario).stem

    def options(self) -> list[str]:
        """Locust's options that are the same with and without its web page."""
        options = ["-f", f"{self.name}.py,telemetry.py", "--users", f"{self.users}"]
        options += ["--spawn-rate", f"{self.spawn_rate:g}", "--think-time", f"{self.think_time:g}"]
        options += ["--stop-timeout", f"{STOP_TIMEOUT}"]
        if self.services:
            options += ["--services", *map(str, self.services)]
        if self.connector_ranges:
            options += ["--connector-ranges", *self.connector_ranges]
        if self.vm_node:
            options += ["--vm-node", self.vm_node]
        return options

    def headless(self) -> list[str]:
        """The command that runs the load and writes Locust's own reports."""
        return [
            "locust",
            "--headless",
            *self.options(),
            "--run-time",
            f"{self.duration}s",
            "--only-summary",
            "--exit-code-on-error",
            "1",
            "--csv",
            RESULTS,
            "--csv-full-history",
            "--json-file",
            RESULTS,
            "--html",
            REPORT,
        ]

    def web(self, port: int) -> list[str]:
        """The command that serves Locust's web page, on the loopback address of where it runs."""
        return ["locust", *self.options(), "--web-host", "127.0.0.1", "--web-port", f"{port}"]


def scenarios(folder: Path) -> tuple[str, ...]:
    """The names of the scenarios in a folder."""
    return tuple(sorted(path.stem for path in folder.glob("*.py") if path.stem not in SUPPORT))


def files(request: LoadRequest, folder: Path) -> dict[str, bytes]:
    """The files that Locust needs, by name: those of the scenarios' folder, and the user's if the scenario is a path.

    Raises NotFound if there is no such scenario, InvalidArgument if a path does not name a Locust file.
    """
    content = {path.name: path.read_bytes() for path in folder.glob("*.py")}
    if request.scenario == request.name:
        if request.name not in scenarios(folder):
            raise NotFound(
                f"load scenario {request.name!r}: not found", hint=f"scenarios: {', '.join(scenarios(folder))}"
            )
        return content
    path = Path(request.scenario)
    if path.suffix != ".py" or not SCENARIO_NAME.fullmatch(path.stem):
        raise InvalidArgument(f"Locust file {path}: its name must match {SCENARIO_NAME.pattern}.py")
    if path.name in content and path.resolve() != (folder / path.name).resolve():
        raise InvalidArgument(
            f"Locust file {path}: the testbed has a file of that name", hint="give yours another name"
        )
    try:
        content[path.name] = path.read_bytes()
    except FileNotFoundError:
        raise NotFound(f"Locust file {path}: not found") from None
    return content
