"""`serve`: the controller."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event
from typing import Annotated

import typer

from testbed.api.server import PORT, Server
from testbed.cli.context import Name, chosen, require_root
from testbed.cli.options import Delay
from testbed.control import controller
from testbed.control.accept.plane import ControlPlane
from testbed.control.state import layout
from testbed.control.state.lock import sign
from testbed.nodes.engine import connect
from testbed.nodes.images import Images


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(serve)


def serve(
    name: Name = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help=f"Of the API on 127.0.0.1; {PORT} if it is free.")
    ] = None,
    operation_delay: Delay = None,
    lock: Annotated[int | None, typer.Option(hidden=True, help="The lock that `up` hands over: a descriptor.")] = None,
    owner: Annotated[int, typer.Option(hidden=True, help="The user who may give commands, beside root.")] = 0,
) -> None:
    """Watch over a testbed in the foreground: health checks, replacement of failed connector instances.

    `up` starts this in the background; run it yourself, under a supervisor, where background processes do not survive.
    The controller waits for a testbed of the name, and for the next one.  `down` may end it.
    """
    require_root()
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(asctime)s %(message)s")
    for library in ("urllib3", "uvicorn"):
        logging.getLogger(library).setLevel(logging.WARNING)
    target = chosen(name)
    layout.require_of(target)
    images = Images(connect(), lambda *_: None)

    def serving(plane: ControlPlane) -> Server:
        if operation_delay is not None:
            plane.store.operation_delay = operation_delay
        return Server(plane, images, port=port or plane.store.port or PORT)

    with _told_to_stop() as stop:
        if lock is None:
            controller.serve_always(target, stop, serving)
        else:
            os.set_inheritable(lock, False)
            controller.serve(target, stop, serving, lambda: sign(lock), owner=owner, create=True)


@contextmanager
def _told_to_stop() -> Iterator[Event]:
    """Is set by SIGTERM and by Ctrl-C, as long as the context lasts."""
    stop = Event()
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
