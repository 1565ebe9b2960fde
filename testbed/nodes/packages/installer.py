"""Installs what sources ask for, in a container without rights, and keeps what comes of it, by what was asked for.

pip gets packages by the host's network, the way that works where the host's own downloads work.  It takes only wheels,
so no program of a package runs there.  All that it writes is in the container's memory, which is bounded.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path, PurePath
from threading import Lock, Semaphore, Thread
from typing import IO, Protocol

import docker
from docker.errors import APIError, NotFound
from docker.models.containers import Container

from testbed.errors import DeadlineExceeded
from testbed.fabric.naming import host_name
from testbed.nodes import execute, seccomp, tree, wheels
from testbed.nodes.container import KIND, NODE, SPEC, owner_labels
from testbed.nodes.engine import engine_errors
from testbed.nodes.images import Images
from testbed.nodes.packages import pip_configuration
from testbed.nodes.packages.requirements import BuildFailed, Wanted, wanted
from testbed.paths import state_root

IMAGE = "testbed/runtime"
BUILD = "build"
"""The kind of the containers that packages are installed in."""
USER = 1_999_999_999
"""Nobody's user id, on the host too: nobody can look into its processes."""
PATIENCE = 600.0
"""Seconds that an installation may take."""
MEMORY, INSTALLED, SCRATCH = 2 << 30, 1 << 30, 1 << 30
"""Bytes: of the container's memory, of what is installed, and of what pip has on the way."""
KEPT = 8 << 30
"""Bytes of installed packages that are kept; those that were not used for longest go first."""
AT_A_TIME = 2
EVIDENCE = 6
"""Lines of pip's that an error has."""
_PLACE, _WORK = "/opt/packages", "/tmp/build"  # noqa: S108 - of the container
_INSTALL = f"""
import json, os, subprocess, sys, tarfile
os.umask(0o077)
with tarfile.open(fileobj=sys.stdin.buffer, mode="r|") as given:
    given.extractall("{_WORK}")
os.chdir("{_WORK}")
with open("variables.json") as file:
    variables = json.load(file)
base = [os.path.realpath(sys.executable), "-m", "venv", "--without-pip", "--symlinks", "{_PLACE}"]
subprocess.run(base, check=True)
site = "{_PLACE}/lib/python%d.%d/site-packages" % sys.version_info[:2]
with open(site + "/testbed.pth", "w") as file:
    file.write([path for path in sys.path if path.endswith("site-packages")][-1] + "\\n")
variables |= {{"PATH": os.environ["PATH"], "HOME": "{_WORK}", "PYTHONPATH": "{_WORK}/lib", "LANG": "C.UTF-8",
              "PIP_CONFIG_FILE": "{_WORK}/pip.conf", "NETRC": "{_WORK}/.netrc"}}
os.dup2(1, 2)
os.execve("{_PLACE}/bin/python", ["python", "-m", "pip", "install", "--quiet", "--only-binary=:all:", "--no-input",
    "--no-cache-dir", "--disable-pip-version-check", "--no-compile", "--no-warn-script-location", "--progress-bar=off",
    "--requirement", "requirements.txt", "--constraint", "constraints.txt"], variables)
"""
"""Unpacks what comes by standard input, makes a virtual environment on top of the runtime's, and becomes pip."""
_PACK = f"exec tar -C / --owner=0 --group=0 --numeric-owner --mode=a+rX,u+w -cf - {_PLACE[1:]} 2> /dev/null"


class Packages(Protocol):
    """What has the packages of sources."""

    def begin(self, source: Path) -> Future[Path | None]:
        """The archive of what a source needs beside the runtime, some time; None if it needs nothing."""


class Installer:
    """Installs packages for one testbed."""

    def __init__(self, testbed: str, testbed_id: str, client: docker.DockerClient, images: Images) -> None:
        self._testbed = testbed
        self._id = testbed_id
        self._client = client
        self._images = images
        self._locks: defaultdict[str, Lock] = defaultdict(Lock)
        self._room = Semaphore(AT_A_TIME)
        self._running: set[Container] = set()

    def begin(self, source: Path) -> Future[Path | None]:
        """What `ensure` returns or raises, some time; nobody waits for its thread at the end of the controller."""
        result: Future[Path | None] = Future()

        def run() -> None:
            try:
                result.set_result(self.ensure(source))
            except Exception as error:  # noqa: BLE001 - the caller is told
                result.set_exception(error)

        Thread(target=run, name="packages", daemon=True).start()
        return result

    def ensure(self, source: Path) -> Path | None:
        """The archive of what a source needs beside the runtime, installed if it is not there yet; None for nothing.

        Raises:
            BuildFailed: pip could not install it, or not within the bounds.
            TestbedError: Docker does not answer.
        """
        asked = wanted(source)
        if asked is None:
            return None
        image = self._images.ensure({IMAGE})[IMAGE]
        text = json.dumps([image, asked.requirements, asked.constraints])
        archive = _root() / f"{hashlib.sha256(text.encode()).hexdigest()}.tar"
        with self._locks[archive.name]:
            try:
                os.utime(archive)
            except FileNotFoundError:
                with self._room:
                    self._install(asked, image, archive)
                _sweep(archive)
        return archive

    def close(self) -> None:
        """End what is being installed."""
        for container in list(self._running):
            with suppress(APIError, NotFound):
                container.remove(force=True)

    def _install(self, asked: Wanted, image: str, archive: Path) -> None:
        configuration = pip_configuration.read(_WORK)
        with self._container(image, archive.stem) as container:
            output = bytearray()

            def keep(data: bytes) -> None:
                output.extend(data)
                del output[: -(1 << 16)]

            try:
                status, _ = execute.captured(
                    self._client,
                    str(container.id),
                    ("python3", "-c", _INSTALL),
                    keep,
                    timeout=PATIENCE,
                    given=_given(asked, configuration),
                )
            except DeadlineExceeded:
                raise BuildFailed(f"pip has not ended within {PATIENCE:g} s: {_last(output, configuration)}") from None
            if status:
                killed = status in {137, -9}
                reason = f"pip was ended, as it took more than {MEMORY >> 20} MiB of memory" if killed else ""
                raise BuildFailed(reason or _last(output, configuration) or f"pip ended with {status}")
            self._fetch(container, archive)

    def _fetch(self, container: Container, archive: Path) -> None:
        """Keep what was installed; it gets its name when it is whole."""
        with tempfile.NamedTemporaryFile(dir=archive.parent, prefix=".", delete=False) as file:
            try:
                self._pack(container, file.write)
                file.flush()
                Path(file.name).rename(archive)
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise

    def _pack(self, container: Container, take: Callable[[bytes], object]) -> None:
        status, _ = execute.captured(self._client, str(container.id), ("sh", "-c", _PACK), take, timeout=PATIENCE)
        if status:
            raise BuildFailed(f"packages: tar has not read them, and ended with {status}")

    @contextmanager
    def _container(self, image: str, digest: str) -> Iterator[Container]:
        """A container that does nothing by itself, for as long as pip may need."""
        node = f"{BUILD}-{digest[:8]}"
        owner = f"uid={USER},gid={USER}"
        with engine_errors("Installing packages"):
            container = self._client.containers.create(
                image,
                entrypoint=["sleep", str(int(3 * PATIENCE))],
                name=host_name(self._testbed, node),
                labels={**owner_labels(self._testbed, self._id), NODE: node, KIND: BUILD, SPEC: ""},
                user=f"{USER}:{USER}",
                network_mode="host",
                cap_drop=["ALL"],
                security_opt=["no-new-privileges:true", f"seccomp={seccomp.profile()}"],
                read_only=True,
                tmpfs={_PLACE: f"size={INSTALLED},exec,mode=755,{owner}", "/tmp": f"size={SCRATCH},mode=700,{owner}"},  # noqa: S108
                mem_limit=MEMORY,
                memswap_limit=MEMORY,
                cpu_shares=256,
                pids_limit=64,
                init=True,
                auto_remove=True,
            )
            self._running.add(container)
            try:
                container.start()
                yield container
            finally:
                self._running.discard(container)
                with suppress(NotFound, APIError):  # somebody else removes it
                    container.remove(force=True)


def _given(asked: Wanted, configuration: pip_configuration.Configuration) -> bytes:
    """What the container is told, as a tar archive: pip itself, its configuration, and what it is asked for."""
    files: dict[str, bytes] = {
        **configuration.files,
        "variables.json": json.dumps(dict(configuration.environment)).encode(),
        "requirements.txt": "".join(f"{line}\n" for line in asked.requirements).encode(),
        "constraints.txt": "".join(f"{line}\n" for line in asked.constraints).encode(),
    }
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        tree.add(tar, wheels.PIP, PurePath("lib", "pip"))
        for name, content in files.items():
            _add(tar, name, len(content), io.BytesIO(content))
        for name, path in configuration.links.items():
            with path.open("rb") as wheel:
                _add(tar, f"links/{name}", path.stat().st_size, wheel)
    return stream.getvalue()


def _add(tar: tarfile.TarFile, name: str, size: int, content: IO[bytes]) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o600
    tar.addfile(member, content)


def _last(output: bytes | bytearray, configuration: pip_configuration.Configuration) -> str:
    """The last that pip has said."""
    lines = [line.strip() for line in configuration.redacted(output.decode(errors="replace")).splitlines()]
    return "\n".join([line for line in lines if line][-EVIDENCE:])


def _root() -> Path:
    root = state_root() / ".packages"
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    return root


def _sweep(new: Path) -> None:
    """Remove archives that were not used for longest, as far as all together are too large."""
    found: Mapping[Path, os.stat_result] = {path: path.stat() for path in new.parent.glob("*.tar")}
    total = sum(info.st_size for info in found.values())
    for path in sorted(found, key=lambda path: found[path].st_mtime):
        if total <= KEPT or path == new:
            return
        total -= found[path].st_size
        path.unlink(missing_ok=True)
