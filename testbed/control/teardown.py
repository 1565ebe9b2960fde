"""Takes a testbed down: everything in its journal, and nothing else."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path

from testbed.control.lock import CONTROLLER, holder
from testbed.control.progress import Progress, Report
from testbed.control.store import Store
from testbed.errors import DeadlineExceeded
from testbed.fabric.naming import host_name
from testbed.kernel import namespace
from testbed.nodes.docker import DockerNodes

KEPT = "loads"
"""The folder with the reports of load tests: results outlive the testbed."""
_POLITE = 5.0
"""Seconds that the controller has to end by itself."""


def tear_down(store: Store, nodes: DockerNodes, report: Report) -> list[str]:
    """Remove the testbed; returns what was removed, by its name on the host.

    Raises:
        FailedPrecondition: if a foreign process lives in one of its namespaces; the rest has been removed then.
    """
    stop_controller(store.folder)
    containers = sorted(store.recorded("container"))
    prefix = host_name(store.name, "")
    report(Progress("containers", f"removing {len(containers)}", 0, len(containers)))
    present = {host_name(store.name, name) for name in nodes.running()}
    nodes.stop_all([name.removeprefix(prefix) for name in sorted(present)])
    store.strike("container", *containers)
    spaces = sorted(store.recorded("namespace"))
    report(Progress("namespaces", f"removing {len(spaces)}", 0, len(spaces)))
    there = set(namespace.names())
    namespace.delete(*spaces)
    store.strike("namespace", *spaces)
    removed = [*sorted(present), *(name for name in spaces if name in there)]
    folder = store.folder
    store.destroy()
    _clear(folder)
    return removed


def stop_controller(folder: Path) -> None:
    """End the testbed's controller, which holds its lock as long as it runs.

    Raises:
        DeadlineExceeded: if it does not end.
    """
    pid = holder(folder, CONTROLLER)
    if pid is None:
        return
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return
        deadline = time.monotonic() + _POLITE
        while time.monotonic() < deadline:
            if holder(folder, CONTROLLER) is None:
                return
            time.sleep(0.02)
    raise DeadlineExceeded(f"the controller of testbed {folder.name!r} (pid {pid}) does not end")


def _clear(folder: Path) -> None:
    """Remove what is in the folder but the reports, and the folder itself if there are none."""
    for entry in folder.iterdir():
        if entry.name == KEPT:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    if not any(folder.iterdir()):
        folder.rmdir()
