"""Executions of Cloud Run jobs: the commands of their tasks, run in nodes that are wired by then.

A task's node only waits (`workload.from_execution`), so that its command finds the network when it starts
and nothing starts it a second time.  That the image needs a program `sleep` for that is our choice, and so is that a
controller that is started anew runs the tasks of an unfinished execution once more.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Protocol

from testbed.control.lifecycle import Settles, lifecycle
from testbed.control.state.operations import Operation
from testbed.control.state.resources import Record
from testbed.control.state.store import Store
from testbed.errors import CODES, DeadlineExceeded, GoogleText, TestbedError
from testbed.fabric.allocation.keys import ContainerInstance, NameKey
from testbed.fabric.allocation.running import Running
from testbed.json_object import Json

KIND = "run.executions"
FOLDER = "executions"
"""In the folder of a testbed: what the tasks have written, a file for each."""
LARGEST = 10 << 20
"""Bytes of a file of what a task has written; there are two."""
DEFAULT_RETRIES = 3
DEFAULT_TIMEOUT = "600s"
FAILED = "The container exited with an error."
"""Google's text of a task that has failed (recalled)."""


class TaskRunner(Protocol):
    """Where commands are run."""

    def own_command(self, name: str) -> tuple[list[str], list[str]]:
        """Entry point and command that the image of a node has by itself."""

    def capture(
        self,
        name: str,
        argv: Sequence[str],
        *,
        on_output: Callable[[bytes], object],
        timeout: float,
    ) -> tuple[int, bytes]:
        """Run a command in a node; returns its exit status and output."""


class Executions:
    """The executions that run."""

    def __init__(self) -> None:
        self._running: dict[str, list[Future[Json]]] = {}

    def tasks(self, store: Store, nodes: TaskRunner, record: Record) -> list[Json] | None:
        """What has become of the tasks of an execution, when they are over; the first look starts them."""
        found = self._running.get(record.name)
        if found is None:
            found = self._running[record.name] = list(_started(store.running, store.folder / FOLDER, nodes, record))
        if not all(task.done() for task in found):
            return None
        del self._running[record.name]
        return [task.result() for task in found]


def failure(record: Record, tasks: Sequence[Json]) -> Json | None:
    """Why an execution has failed, as a `google.rpc.Status`, if it has."""
    for task in tasks:
        if task["status"] != 0:
            text = f"Task {record.id}-task{task['index']} failed with message: {task['message']}"
            return {"code": CODES["FAILED_PRECONDITION"], "message": GoogleText(text)}
    return None


def executed(operation: Operation) -> str | None:
    """The execution that an operation runs, if it does."""
    return next(
        (c.name for c in operation.changes if c.body is not None and lifecycle(c.kind).settles is Settles.EXECUTED),
        None,
    )


def _started(running: Running, folder: Path, nodes: TaskRunner, record: Record) -> Iterator[Future[Json]]:
    folder.mkdir(mode=0o700, exist_ok=True)
    count = record.body.get("taskCount", 1)
    pool = ThreadPoolExecutor(record.body.get("parallelism") or count, "tasks")
    for index in range(count):
        node = running.name(NameKey.runtime(ContainerInstance(record.name, index)))
        yield pool.submit(_run, nodes, node, index, record.body["template"], folder / f"{node}.log")
    pool.shutdown(wait=False)


def _run(nodes: TaskRunner, node: str, index: int, template: Json, log: Path) -> Json:
    """Run a task, as often as it may be tried."""
    began = time.time()
    tries = template.get("maxRetries", DEFAULT_RETRIES) + 1
    result: Json = {}
    for attempt in range(tries):
        result = {"attempt": attempt, **_tried(nodes, node, attempt, template, log)}
        if result["status"] == 0:
            break
    return {"index": index, "started": began, "ended": time.time(), **result}


def _keep(log: Path, output: bytes) -> None:
    """Add to what a task has written.  Of two files the older one is given up when the newer one is full."""
    with log.open("ab") as file:
        file.write(output)
        full = file.tell() > LARGEST
    if full:
        log.replace(log.with_suffix(".log.1"))


def _tried(nodes: TaskRunner, node: str, attempt: int, template: Json, log: Path) -> Json:
    container = template["containers"][0]
    limit = float(str(template.get("timeout", DEFAULT_TIMEOUT)).removesuffix("s"))
    try:
        entrypoint, command = nodes.own_command(node)
        own = [] if container.get("command") else command
        argv = [*container.get("command", entrypoint), *container.get("args", own)]
        command = ["env", f"CLOUD_RUN_TASK_ATTEMPT={attempt}", *argv]
        status, _ = nodes.capture(node, command, on_output=partial(_keep, log), timeout=limit)
    except DeadlineExceeded:
        return {"status": None, "message": "The configured timeout was reached."}
    except (TestbedError, OSError) as error:
        return {"status": None, "message": str(error)}
    return {"status": status, "message": "" if status == 0 else FAILED}
