"""`testbed ARGUMENTS` in a process of its own, forked from one that has imported the program.

It does what the program does, and begins at once: an interpreter that has to import everything takes the processor for
half a second, a thousand times in a run of the tests.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path

from testbed import cli
from tests.waiting import COMMAND

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload([__name__])
for _module in cli.MODULES:
    import_module(f"{cli.__name__}.{_module}")


def run(
    arguments: Sequence[str], environment: Mapping[str, str], stdin: str | None
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end.

    Raises:
        subprocess.TimeoutExpired: it has not ended within `COMMAND` seconds, and was killed.
    """
    with tempfile.TemporaryDirectory(prefix="testbed-run-") as folder:
        streams = Path(folder)
        (streams / "0").write_text(stdin or "")
        process = _CONTEXT.Process(target=_main, args=([*arguments], {**environment}, Path.cwd(), streams))
        process.start()
        process.join(COMMAND)
        if late := process.is_alive():
            process.kill()
            process.join()
        status = process.exitcode or 0
        process.close()
        stdout, stderr = ((streams / name).read_text() for name in "12")
    if late:
        raise subprocess.TimeoutExpired([*arguments], COMMAND, stdout, stderr)
    return subprocess.CompletedProcess([*arguments], status, stdout, stderr)


def _main(arguments: list[str], environment: dict[str, str], folder: Path, streams: Path) -> None:
    """What the new process does."""
    for number, flags in enumerate((os.O_RDONLY, os.O_WRONLY | os.O_CREAT, os.O_WRONLY | os.O_CREAT)):
        os.dup2(os.open(streams / str(number), flags, 0o600), number)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 - multiprocessing has put another one there
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = ["testbed", *arguments]
    cli.main()
