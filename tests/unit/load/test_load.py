from __future__ import annotations

import io
import itertools
import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console, RenderableType

from testbed.control.facts.traffic import InstanceTraffic
from testbed.errors import Internal, InvalidArgument, NotFound
from testbed.load.report import progress_line, report
from testbed.load.request import LoadRequest, LoadTarget, files, scenarios
from testbed.load.result import (
    Failure,
    LoadOutcome,
    LoadProgress,
    LoadResult,
    Row,
    Source,
    summary,
    traffic_between,
)
from testbed.load.telemetry import Telemetry

SCENARIOS = Path(__file__).parents[3] / "loadtests"

SECOND = LoadProgress(
    seconds=1.0,
    users=20,
    requests=480,
    failures=0,
    rps=480.0,
    failures_per_second=0.0,
    p50=4,
    p95=9,
    cpu=41.0,
    machine=80.0,
)
ROW = Row("run vm", requests=500, failures=2, median=4, p90=7, p95=9.4, p99=21, max=30.6, rps=50.04)
RESULT = LoadResult(
    request=LoadRequest("mixed", (LoadTarget("run", "http://run.example"),), duration=10),
    began="2026-01-02T03:04:05Z",
    outcome=LoadOutcome(
        seconds=10.1,
        rows=(ROW, replace(ROW, name="run redis read", failures=0, requests=498)),
        total=replace(ROW, name="Aggregated", requests=998, rps=99.9),
        failures=(Failure("run vm", "status 504: no answer in time: [Errno 110]", 2),),
        sources=(Source("run vm", "10.8.0.2", 300), Source("fn vm", "10.8.0.2", 60), Source("fn vm", "10.132.0.9", 7)),
    ),
    history=(SECOND, replace(SECOND, cpu=61.0)),
    instances=(InstanceTraffic("c1-0", "10.8.0.2", 12, 3_400_000), InstanceTraffic("c1-1", "10.8.0.3", 0, 0)),
    exit_status=1,
    interrupted=False,
)


def printed(renderable: RenderableType) -> list[str]:
    console = Console(file=io.StringIO(), width=100, color_system=None)
    console.print(renderable)
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_report() -> None:
    assert printed(report(RESULT, Path("loads/now"))) == [
        "mixed: 20 users, 10 s",
        " request         requests  failures  req/s  p50 ms  p90  p95  p99  max",
        " run vm               500         2   50.0       4    7    9   21   31",
        " run redis read       498         0   50.0       4    7    9   21   31",
        " all                  998         2   99.9       4    7    9   21   31",
        "",
        "connector instances",
        " instance  address     flows    bytes  requests seen at the VM",
        " c1-0      10.8.0.2       12   3.4 MB                      360",
        " c1-1      10.8.0.3        0  0 bytes                        0",
        " -         10.132.0.9      -        -                        7",
        "",
        "failures",
        " count  request  what",
        "     2  run vm   status 504: no answer in time: [Errno 110]",
        "",
        "generator 51% of a core, machine 80% busy",
        "report: loads/now/report.html",
    ]


def test_what_a_scenario_does_not_measure_is_not_reported() -> None:
    own = replace(RESULT, outcome=replace(RESULT.outcome, sources=()))
    lines = printed(report(own, Path("x")))
    assert lines[lines.index("connector instances") + 1 :][:2] == [
        " instance  address   flows    bytes",
        " c1-0      10.8.0.2     12   3.4 MB",
    ]


def test_report_says_what_makes_the_figures_doubtful() -> None:
    busy = replace(SECOND, cpu=97.0, machine=99.0)
    doubtful = replace(RESULT, history=(busy, busy), interrupted=True)
    assert [line for line in printed(report(doubtful, Path("x"))) if line.startswith("warning")] == [
        "warning: the load generator used 97% of a core: it may be what limits the load",
        "warning: the machine was 99% busy: latencies include waiting for a processor",
        "warning: the load was interrupted",
    ]


def test_progress_line() -> None:
    assert printed(progress_line(RESULT.request, SECOND)) == [
        "mixed    1/10 s  20 users  480/s  p50 4 ms  p95 9 ms  generator 41%  0 failed"
    ]


def test_a_result_has_failed_if_requests_or_the_scenario_failed() -> None:
    clean = replace(RESULT.outcome, total=replace(ROW, failures=0), failures=())
    assert not replace(RESULT, outcome=clean, exit_status=0).failed
    assert replace(RESULT, outcome=clean, exit_status=2).failed
    assert replace(RESULT, exit_status=0).failed


def test_summary_is_json_and_says_what_follows() -> None:
    values = json.loads(json.dumps(summary(RESULT)))
    assert (values["failed"], values["generator_cpu"], values["instances"][0]["flows"]) == (True, 51.0, 12)


def test_traffic_is_what_came_between_the_readings() -> None:
    before = [InstanceTraffic("a", "10.8.0.2", 5, 500), InstanceTraffic("b", "10.8.0.3", 9, 900)]
    after = [
        InstanceTraffic("a", "10.8.0.2", 7, 800),
        InstanceTraffic("b", "10.8.0.3", 1, 100),  # replaced: its counters began again
        InstanceTraffic("c", "10.8.0.4", 2, 200),
    ]
    assert traffic_between(before, after) == (
        InstanceTraffic("a", "10.8.0.2", 2, 300),
        InstanceTraffic("b", "10.8.0.3", 1, 100),
        InstanceTraffic("c", "10.8.0.4", 2, 200),
    )


def telemetry_lines() -> bytes:
    progress = {field: getattr(SECOND, field) for field in SECOND.__slots__}
    outcome = summary(RESULT)["outcome"]
    lines = [
        "Starting",
        json.dumps({"telemetry": "progress", **progress}),
        "",
        json.dumps({"telemetry": "result", **outcome}),
    ]
    return "\n".join([*lines, "Grüße"]).encode()


@given(cuts=st.lists(st.integers(0, 2000)))
def test_output_is_read_however_it_is_cut(cuts: list[int]) -> None:
    output, seen = telemetry_lines(), list[LoadProgress]()
    telemetry = Telemetry(seen.append)
    ends = [0, *sorted(cuts), len(output)]
    for begin, end in itertools.pairwise(ends):
        telemetry.feed(output[begin:end])
    telemetry.feed(output[max(ends) :])
    telemetry.close()
    assert seen == telemetry.history == [SECOND]
    assert telemetry.outcome == RESULT.outcome
    assert telemetry.log == ["Starting", "", "Grüße"]


@pytest.mark.parametrize("line", [b'{"telemetry": "progress"}\n', b'{"telemetry":\n'])
def test_a_broken_telemetry_line_is_an_error(line: bytes) -> None:
    with pytest.raises(Internal, match="cannot be read"):
        Telemetry(lambda _: None).feed(line)


def test_command_lines() -> None:
    request = LoadRequest(
        "mixed",
        (LoadTarget("run", "http://run.example/x", "203.0.113.2:80"), LoadTarget("fn", "http://fn.example")),
        users=5,
        spawn_rate=2.5,
        duration=7,
        connector_ranges=("10.8.0.0/28",),
        vm_node="vm",
    )
    common = (
        "-f mixed.py,telemetry.py --users 5 --spawn-rate 2.5 --think-time 0.1 --stop-timeout 10"
        " --services run=http://run.example/x@203.0.113.2:80 fn=http://fn.example"
        " --connector-ranges 10.8.0.0/28 --vm-node vm"
    )
    assert " ".join(request.headless()) == (
        f"locust --headless {common} --run-time 7s --only-summary --exit-code-on-error 1"
        " --csv results --csv-full-history --json-file results --html report.html"
    )
    assert " ".join(request.web(8089)) == f"locust {common} --web-host 127.0.0.1 --web-port 8089"


@pytest.mark.parametrize(
    "wrong",
    [
        {"users": 0},
        {"duration": 0},
        {"spawn_rate": 0},
        {"think_time": -1},
        {"connector_ranges": ("10.8.0.1/28",)},
    ],
)
def test_figures_that_make_no_load_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidArgument):
        LoadRequest("mixed", **wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("", "http://a"),
        ("a=b", "http://a"),
        ("a", "ftp://a"),
        ("a", "a.example"),
        ("a", "http://u@a"),
        ("a", "http://"),
    ],
)
def test_services_that_cannot_be_called_are_refused(name: str, url: str) -> None:
    with pytest.raises(InvalidArgument):
        LoadTarget(name, url)


def test_scenarios() -> None:
    assert scenarios(SCENARIOS) == ("mixed", "new_flows", "redis_round_trips", "vm_reads")
    assert {"mixed.py", "services.py", "telemetry.py"} <= files(LoadRequest("mixed"), SCENARIOS).keys()
    for name in ("services", "nothing"):
        with pytest.raises(NotFound, match=name):
            files(LoadRequest(name), SCENARIOS)


def test_a_scenario_of_the_users(tmp_path: Path) -> None:
    own = tmp_path / "own.py"
    own.write_text("# mine")
    request = LoadRequest(str(own))
    assert files(request, SCENARIOS)["own.py"] == b"# mine"
    assert "own.py,telemetry.py" in request.headless()
    with pytest.raises(NotFound):
        files(LoadRequest(str(tmp_path / "missing.py")), SCENARIOS)
    for name in ("own.txt", "Own File.py", "services.py"):
        (tmp_path / name).write_text("")
        with pytest.raises(InvalidArgument):
            files(LoadRequest(str(tmp_path / name)), SCENARIOS)
