"""What workloads have done, as entries of Cloud Logging: requests that were served, and what containers wrote.

It is read where it is, in the logs that Docker keeps of each container.  So what a container has written goes with the
container (Google keeps it for 30 days).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from testbed.control.watch.observation import LogLine, ObservedNodes, Stream
from testbed.fabric.allocation.running import Running
from testbed.json_object import Json
from testbed.model.core.resource import last, segment
from testbed.model.core.well_known import FRONT_END
from testbed.model.serverless.workload import Workload
from testbed.model.topology import Topology

MOST = 1000
"""Lines that are read of each stream of a container, the last ones."""
_STREAMS: tuple[Stream, ...] = ("stdout", "stderr")
_REQUEST = re.compile(
    r'(?P<ip>\S+) - \S+ \[[^\]]*\] "(?P<method>\S+) (?P<target>\S+) (?P<protocol>\S+)" (?P<status>\d+) (?P<sent>\d+)'
    r' "[^"]*" "(?P<agent>[^"]*)" "(?P<workload>[^"]+)" (?P<size>\d+) (?P<seconds>[\d.]+) "(?P<host>[^"]*)"'
    r' "(?P<trace>[^"/]*)[^"]*"'
)
"""A line of the front end's log, which its role defines: nginx's format `combined` and more."""
_ESCAPED = re.compile(r"\\x([0-9A-F]{2})")
SEVERITIES = ("DEFAULT", "DEBUG", "INFO", "NOTICE", "WARNING", "ERROR", "CRITICAL", "ALERT", "EMERGENCY")
"""The least first (google.logging.type.LogSeverity)."""
_SPECIAL: Mapping[str, str] = {
    "logging.googleapis.com/trace": "trace",
    "logging.googleapis.com/spanId": "spanId",
    "logging.googleapis.com/labels": "labels",
}
"""Fields of a line of JSON that go into the entry (cloud.google.com/logging/docs/structured-logging)."""


def entries(topology: Topology, running: Running, nodes: ObservedNodes) -> Iterator[Json]:
    """The entries of all workloads, in no order."""
    first = frozenset(one.name for one in topology.cloudfunctions.functions if one.environment == "GEN_1")
    sources = {one.name: _source(one, first) for one in topology.served}
    for line in nodes.lines(FRONT_END, "stdout", MOST) if sources else ():
        if found := _REQUEST.match(line.text):
            name = _unescaped(found["workload"])
            if (source := sources.get(name)) is not None:
                yield source.request(line, found)
    for name, source in sources.items():
        for node in running.allocations.nodes(name):
            for stream in _STREAMS:
                yield from (source.output(node, stream, line) for line in nodes.lines(node, stream, MOST))


@dataclass(frozen=True, slots=True)
class _Source:
    """How the entries of a workload are labelled."""

    project: str
    resource: Json
    requests: str
    """The log of its requests."""
    outputs: Mapping[Stream, str]
    """The logs of its streams."""
    labels: Json = field(default_factory=dict)

    def request(self, line: LogLine, found: re.Match[str]) -> Json:
        """The entry of a request.  Its time is when it came; the front end writes its line when it is over."""
        seconds, status = float(found["seconds"]), int(found["status"])
        came = datetime.fromisoformat(line.time) - timedelta(seconds=seconds)
        about = {
            "requestMethod": found["method"],
            "requestUrl": f"https://{_unescaped(found['host'])}{_unescaped(found['target'])}",
            "requestSize": found["size"],
            "status": status,
            "responseSize": found["sent"],
            **({} if found["agent"] == "-" else {"userAgent": _unescaped(found["agent"])}),
            "remoteIp": found["ip"],
            "latency": f"{seconds:g}s",
            "protocol": found["protocol"],
        }
        severity = "ERROR" if status >= 500 else "WARNING" if status >= 400 else "INFO"
        trace = {"trace": f"projects/{self.project}/traces/{found['trace']}"} if found["trace"] else {}
        return self._entry(
            self.requests, came.isoformat().replace("+00:00", "Z"), line, {"httpRequest": about, **trace}, severity
        )

    def output(self, node: str, stream: Stream, line: LogLine) -> Json:
        """The entry of a line that a container has written: text, or a structure if it is JSON."""
        payload, severity = _payload(line.text)
        entry = self._entry(self.outputs[stream], line.time, line, payload, severity)
        return {**entry, "labels": {"instanceId": node, **entry.get("labels", {})}}

    def _entry(self, log: str, time: str, line: LogLine, payload: Json, severity: str) -> Json:
        key = hashlib.sha256(f"{log}\0{self.resource}\0{line.time}\0{line.text}".encode()).hexdigest()[:16]
        return {
            **({"labels": self.labels} if self.labels else {}),
            **payload,
            "insertId": key,
            "timestamp": time,
            "receiveTimestamp": line.time,
            "severity": severity,
            "logName": f"projects/{self.project}/logs/{log}",
            "resource": self.resource,
        }


def _source(workload: Workload, first: Iterable[str]) -> _Source:
    name = workload.name
    if workload.kind.startswith("app-engine"):
        project = name.split("/")[1]
        labels = {"project_id": project, "module_id": segment(name, "services"), "version_id": last(name)}
        # App Engine standard writes its requests into a log of its own shape; here all have that of the flexible one.
        return _Source(
            project,
            {"type": "gae_app", "labels": labels},
            "appengine.googleapis.com%2Fnginx.request",
            {"stdout": "stdout", "stderr": "stderr"},
        )
    project, region = segment(name, "projects"), workload.region
    if name in first:
        labels = {"project_id": project, "region": region, "function_name": last(name)}
        log = "cloudfunctions.googleapis.com%2Fcloud-functions"
        return _Source(project, {"type": "cloud_function", "labels": labels}, log, {"stdout": log, "stderr": log})
    labels = {
        "project_id": project,
        "location": region,
        "service_name": last(name),
        "configuration_name": last(name),
        "revision_name": workload.environment.get("K_REVISION", ""),
    }
    managed = {"goog-managed-by": "cloudfunctions"} if workload.kind == "cloud-function" else {}
    logs: dict[Stream, str] = {stream: f"run.googleapis.com%2F{stream}" for stream in _STREAMS}
    return _Source(
        project, {"type": "cloud_run_revision", "labels": labels}, "run.googleapis.com%2Frequests", logs, managed
    )


def _payload(text: str) -> tuple[Json, str]:
    """A line as an entry's payload, and its severity."""
    try:
        found = json.loads(text) if text.startswith("{") else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        return {"textPayload": text}, "DEFAULT"
    severity = str(found.pop("severity", "DEFAULT")).upper()
    moved = {entry: found.pop(key) for key, entry in _SPECIAL.items() if key in found}
    about = {"textPayload": str(found["message"])} if {*found} == {"message"} else {"jsonPayload": found}
    return {**moved, **about}, severity if severity in SEVERITIES else "DEFAULT"


def _unescaped(text: str) -> str:
    """What nginx has escaped in a field of its log."""
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text)
