"""Takes a testbed down: everything that is its own, and nothing else."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

from testbed.control.state.lock import LOCK
from testbed.control.state.progress import Progress, Report
from testbed.control.state.store import FILES, Store
from testbed.fabric.naming import host_name
from testbed.kernel import namespace
from testbed.nodes.docker import DockerNodes
from testbed.paths import client_folder

KEPT = "loads"
"""The folder with the reports of load tests: results outlive the testbed."""


def tear_down(store: Store, nodes: DockerNodes, report: Report) -> list[str]:
    """Remove the testbed; returns what was removed, by its name on the host.  Its folder is still there: `clear`.

    Raises:
        FailedPrecondition: if a foreign process lives in one of its namespaces; the containers have been removed then.
    """
    removed = _remove_containers(store, nodes, report)
    spaces = sorted(store.recorded("namespace"))
    report(Progress("namespaces", f"removing {len(spaces)}", 0, len(spaces)))
    there = set(namespace.names())
    namespace.delete(*spaces)
    # Docker goes on with what an `up` has asked for, killed or not: what has come into being meanwhile goes, too.
    late = _remove_containers(store, nodes, report)
    store.strike("container", *store.recorded("container"))
    store.strike("namespace", *spaces)
    return [*removed, *late, *(name for name in spaces if name in there)]


def _remove_containers(store: Store, nodes: DockerNodes, report: Report) -> list[str]:
    present = sorted(nodes.running())
    report(Progress("containers", f"removing {len(present)}", 0, len(present)))
    nodes.stop_all(present)
    return [host_name(store.name, name) for name in present]


def clear(folder: Path) -> None:
    """Remove a testbed's folder, whose lock is held; the reports of load tests are kept.

    The state goes after everything else, so that a `down` that is killed can be repeated.  The lock goes last: whoever
    waits for it begins anew.
    """
    last = (*FILES, LOCK)
    _remove(client_folder(folder.name))
    for entry in folder.iterdir():
        if entry.name not in (*last, KEPT):
            _remove(entry)
    for name in last:
        (folder / name).unlink(missing_ok=True)
    try:
        folder.rmdir()
    except OSError as error:
        if error.errno != errno.ENOTEMPTY:  # reports, or the lock of one that begins anew
            raise


def _remove(path: Path) -> None:
    """Remove a file, or a folder with all that is in it; a command that only looks may still make or remove some."""
    while os.path.lexists(path):
        try:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTEMPTY):
                raise
