"""The controller of a running testbed: checks the health of connector instances and replaces those that fail.

`testbed up` starts one per testbed in the background; `testbed serve` runs it in the foreground.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from pathlib import Path
from threading import Event

from testbed.control import connectors
from testbed.control.health import INTERVAL
from testbed.control.lock import CONTROLLER, held, holder
from testbed.control.reconciler import Reconciler
from testbed.control.store import Store, folder_of
from testbed.errors import NotFound, TestbedError, Unavailable
from testbed.nodes.docker import DockerNodes
from testbed.nodes.engine import connect
from testbed.nodes.images import Images

log = logging.getLogger("testbed.controller")
_START_DEADLINE = 5.0
LOG = "controller.log"


def serve(name: str, stop: Event) -> None:
    """Watch over a testbed until `stop` is set.  While no such testbed runs, wait for one.

    Raises:
        Unavailable: if another controller watches over it already.
    """
    with held(folder_of(name), CONTROLLER):
        client = connect()
        replacer = connectors.Replacer()
        reconciler: Reconciler | None = None
        watched = ""
        while not stop.wait(INTERVAL):
            try:
                with held(folder_of(name)), Store.open(name) as store:
                    if reconciler is None or watched != store.id:
                        watched = store.id
                        nodes = DockerNodes(name, watched, client)
                        reconciler = Reconciler(store, nodes, Images(client, lambda *_: None))
                    reconciler.store = store
                    if store.complete:
                        watch(reconciler, replacer)
            except (NotFound, Unavailable):
                continue  # no testbed, or a command is at work on it
            except TestbedError as error:
                log.error("%s", error.message)  # noqa: TRY400 - a condition of the testbed, not a defect
    log.info("ended")


def watch(reconciler: Reconciler, replacer: connectors.Replacer) -> None:
    """One round: probe, route new flows to healthy instances only, replace what is given up."""
    store = reconciler.store
    topology = store.topology
    if topology is None:
        return
    changed = reconciler.probe(topology)
    if changed:
        for instance in store.instances:
            log.info("%s (%s) is %s", instance.name, instance.address, instance.health)
    gone = replacer.given_up(store.instances, time.monotonic())
    if gone:
        with store.transaction():
            pairs = list(connectors.replacements(topology, store.instances, gone, store.next_serial))
            store.remove_instances(old.name for old, _ in pairs)
            store.add_instances(new for _, new in pairs)
        for old, new in pairs:
            log.info("%s (%s) is replaced by %s (%s)", old.name, old.address, new.name, new.address)
    if changed or gone:
        reconciler.rewire(topology)


def ensure_controller(name: str, folder: Path) -> int:
    """Start a controller in the background unless one runs; returns its process id.

    Raises:
        Unavailable: if it does not start; the message has the end of its log.
    """
    present = holder(folder, CONTROLLER)
    if present is not None:
        return present
    with os.fdopen(os.open(folder / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as output:
        child = subprocess.Popen(
            [sys.executable, "-m", "testbed", "serve", "--name", name],
            stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, cwd="/",
        )  # fmt: skip
    deadline = time.monotonic() + _START_DEADLINE
    while time.monotonic() < deadline and child.poll() is None:
        if holder(folder, CONTROLLER) == child.pid:
            return child.pid
        time.sleep(0.02)
    child.kill()
    raise Unavailable(f"the controller did not start: {(folder / LOG).read_text()[-500:]}")
