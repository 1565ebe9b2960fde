"""Runs the scripts of a VM's metadata inside of it, as root, and tells of them on its console.

The words are those of Google's guest agent (`testbed.model.compute.guest_scripts` has the source).
"""

from __future__ import annotations

import os
import select
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

import docker
from docker.models.containers import Container

from testbed.errors import DeadlineExceeded, TestbedError
from testbed.model.compute.guest_scripts import Phase, Script
from testbed.nodes import execute

ROOT = "0"
_LONGEST = 65536
"""Bytes of a line; what is longer is shown in pieces."""
_PATIENCE = 5.0
"""Seconds in which Docker has to take what is written to a console; later it is lost."""
_PROGRAM = """
umask 022
folder=$(mktemp -d /tmp/metadata-scripts-XXXXXX) || exit 1
trap 'rm -rf "$folder"' EXIT
file=$folder/$1
fetch() {
    curl -sSfL --retry 2 --retry-delay 1 --connect-timeout 20 -o "$file" -K -
}
if [ "$2" = url ]; then
    IFS= read -r stored; IFS= read -r plain
    command -v curl > /dev/null || { echo "the image of this VM has no curl, which gets the script"; exit 127; }
    fetched=
    if [ -n "$stored" ]; then
        token=$(curl -sf -H 'Metadata-Flavor: Google' \
            http://169.254.169.254/computeMetadata/v1/instance/service-accounts/default/token \
            | sed -n 's/.*"access_token": *"\\([^"]*\\)".*/\\1/p')
        if [ -n "$token" ]; then
            printf 'url = "%s"\\nheader = "Authorization: Bearer %s"\\n' "$stored" "$token" | fetch && fetched=1
        fi
        [ -n "$fetched" ] || echo "Trying unauthenticated download"
    fi
    [ -n "$fetched" ] || printf 'url = "%s"\\n' "$plain" | fetch || exit 1
else
    cat > "$file"
fi
chmod 755 "$file"
/bin/sh -c "$file" < /dev/null
"""
"""Writes a script, or what a URL has, to a file and runs it.  What is told of it comes by standard input."""


def run(
    client: docker.DockerClient, container: Container, phase: Phase, scripts: Sequence[Script], timeout: float | None
) -> list[str]:
    """Run scripts one after the other, for so many seconds at most; returns what became of each, in a few words."""
    ends: list[str] = []
    with _console(int(container.attrs["State"]["Pid"])) as tell:
        tell(f"Starting {phase} scripts.")
        for script in scripts:
            tell(f"Found {script.key} in metadata.")
            error = _fault(client, str(container.id), script, tell, timeout)
            tell(f'Script "{script.key}" failed with error: {error}' if error else f"{script.key} exit status 0")
            ends.append(f"{script.key}: {error or 'exit status 0'}")
        tell(f"Finished running {phase} scripts.")
    return ends


def _fault(
    client: docker.DockerClient, container: str, script: Script, tell: Callable[[str], None], timeout: float | None
) -> str | None:
    """What a script failed by, if it did."""
    given = "".join(f"{place}\n" for place in script.places) if script.is_url else script.text
    lines = _Lines(lambda line: tell(f"{script.key}: {line}"))
    argv = ("/bin/sh", "-c", _PROGRAM, "sh", script.key, "url" if script.is_url else "text")
    try:
        status, _ = execute.captured(
            client, container, argv, lines.feed, timeout=timeout, given=given.encode(), user=ROOT
        )
    except DeadlineExceeded as error:
        return str(error)
    except (TestbedError, OSError) as error:  # the VM has been stopped, or its image has no shell
        return str(error)
    finally:
        lines.end()
    return f"exit status {status}" if status else None


class _Lines:
    """Pieces of output as lines."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._rest = b""

    def feed(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > _LONGEST:
            lines, self._rest = [*lines, self._rest], b""
        for line in lines:
            self._tell(line.decode(errors="replace").rstrip("\r"))

    def end(self) -> None:
        if self._rest:
            self.feed(b"\n")


@contextmanager
def _console(pid: int) -> Iterator[Callable[[str], None]]:
    """What writes a line to where the first process of a VM writes: that is its console.

    The VM's programs may have put something else there.  So only a pipe is opened, which leads nowhere but to its
    reader, and nobody waits for it for long.
    """
    target = _pipe(f"/proc/{pid}/fd/1")

    def tell(text: str) -> None:
        if target is None:
            return
        rest = memoryview(f"google_metadata_script_runner: {text}\n".encode(errors="replace"))
        with suppress(OSError):  # the VM has ended, or its reader has
            while rest and select.select([], [target], [], _PATIENCE)[1]:
                rest = rest[os.write(target, rest[: select.PIPE_BUF]) :]

    try:
        yield tell
    finally:
        if target is not None:
            os.close(target)


def _pipe(path: str) -> int | None:
    """The pipe at a path, to be written; None if none is there."""
    try:
        place = os.open(path, os.O_PATH)
    except OSError:
        return None
    try:
        if not stat.S_ISFIFO(os.fstat(place).st_mode):
            return None
        return os.open(f"/proc/self/fd/{place}", os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return None
    finally:
        os.close(place)
