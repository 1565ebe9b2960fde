"""Lines of containers and of the front end as entries of Cloud Logging."""

from __future__ import annotations

from collections.abc import Mapping

from testbed.control.watch import workload_log
from testbed.control.watch.observation import LogLine, Stream, Unseen
from testbed.json_object import Json
from tests.unit.topologies import running, service, small

TIME = "2026-12-01T10:00:00.500000000Z"
RUN = "projects/p/locations/us-central1/services/web"
FUNCTION = "projects/p/locations/us-central1/functions/old"


def line(workload: str, status: int = 200, agent: str = "curl/8", target: str = "/a?b=1") -> str:
    return (
        f'203.0.113.1 - - [01/Dec/2026:10:00:00 +0000] "GET {target} HTTP/1.1" {status} 42 "-" "{agent}"'
        f' "{workload}" 97 0.250 "web.run.app" "4bf92f/1;o=1"'
    )


class Written(Unseen):
    """Nodes that have written these lines."""

    def __init__(self, lines: Mapping[tuple[str, Stream], list[str]]) -> None:
        self._lines = lines

    def lines(self, node: str, stream: Stream, most: int) -> list[LogLine]:
        return [LogLine(TIME, text) for text in self._lines.get((node, stream), [])][-most:]


def entries(lines: Mapping[tuple[str, Stream], list[str]]) -> list[Json]:
    old = {"name": FUNCTION, "environment": "GEN_1", "buildConfig": {"entryPoint": "main", "source": "/s"}}
    of = small(run={"services": [service("web")]}, cloudfunctions={"functions": [old]})
    return list(workload_log.entries(of, running(of), Written(lines)))


def test_a_request_is_an_entry_of_its_service_at_the_time_when_it_came() -> None:
    (entry,) = entries({("front-end", "stdout"): [line(RUN, 404, "-"), "what is no request", line("of another")]})
    assert entry["httpRequest"] == {
        "requestMethod": "GET",
        "requestUrl": "https://web.run.app/a?b=1",
        "requestSize": "97",
        "status": 404,
        "responseSize": "42",
        "remoteIp": "203.0.113.1",
        "latency": "0.25s",
        "protocol": "HTTP/1.1",
    }
    assert (entry["timestamp"], entry["severity"]) == ("2026-12-01T10:00:00.250000Z", "WARNING")
    assert entry["logName"] == "projects/p/logs/run.googleapis.com%2Frequests"
    assert entry["trace"] == "projects/p/traces/4bf92f"
    assert entry["resource"] == {
        "type": "cloud_run_revision",
        "labels": {
            "project_id": "p",
            "location": "us-central1",
            "service_name": "web",
            "configuration_name": "web",
            "revision_name": "web-00001",
        },
    }


def test_what_a_client_has_sent_is_read_as_it_was() -> None:
    (entry,) = entries({("front-end", "stdout"): [line(RUN, agent=r"a \x22quoted\x22 one", target=r"/\x22")]})
    assert entry["httpRequest"]["userAgent"] == 'a "quoted" one'
    assert entry["httpRequest"]["requestUrl"] == 'https://web.run.app/"'


def test_lines_are_text_or_structures() -> None:
    found = entries(
        {
            ("web", "stdout"): [
                "hello",
                '{"message": "hi", "severity": "warning"}',
                '{"message": "hi", "user": 5, "logging.googleapis.com/trace": "t"}',
                "{broken",
                '{"a":' * 100_000,
            ],
            ("web", "stderr"): ["oh"],
        }
    )
    assert [one["logName"].rpartition("%2F")[2] for one in found] == [*["stdout"] * 5, "stderr"]
    payloads = [one.get("textPayload", one.get("jsonPayload")) for one in found]
    assert payloads == ["hello", "hi", {"message": "hi", "user": 5}, "{broken", '{"a":' * 100_000, "oh"]
    assert [one["severity"] for one in found] == ["DEFAULT", "WARNING", *["DEFAULT"] * 4]
    assert found[2]["trace"] == "t"
    assert {one["labels"]["instanceId"] for one in found} == {"web"}
    assert len({one["insertId"] for one in found}) == len(found)


def test_a_first_generation_function_has_a_log_of_its_own() -> None:
    request, output = entries({("front-end", "stdout"): [line(FUNCTION)], ("old", "stdout"): ["hello"]})
    for entry in (request, output):
        assert entry["logName"] == "projects/p/logs/cloudfunctions.googleapis.com%2Fcloud-functions"
        labels = {"project_id": "p", "region": "us-central1", "function_name": "old"}
        assert entry["resource"] == {"type": "cloud_function", "labels": labels}
