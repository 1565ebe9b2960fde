"""Google's client library inside containers, and gcloud in the network of one."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement

from testbed.fabric.naming import host_name
from tests.e2e.program import Program
from tests.waiting import COMMAND

WHO = """\
import google.auth
from google.auth.transport.requests import AuthorizedSession


def who(url):
    credentials, project = google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])
    session = AuthorizedSession(credentials)
    answer = session.post(url, json={"name": "made-inside", "autoCreateSubnetworks": False}, timeout=120)
    return {
        "kind": type(credentials).__module__, "email": credentials.service_account_email, "project": project,
        "status": answer.status_code, "answer": answer.json(),
    }
"""
"""A module: who one is by default, and what an API answers to it."""


def packages(folder: Path) -> None:
    """Put google-auth and what it needs into a folder, as `pip install --target` would."""
    for found in _needed("google-auth", ("requests",), {}).values():
        for file in found.files or ():
            if ".." not in file.parts and file.suffix != ".pyc":
                target = folder / file
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(str(file.locate()), target)


def _needed(name: str, extras: tuple[str, ...], known: dict[str, Distribution]) -> Mapping[str, Distribution]:
    if name not in known:
        known[name] = distribution(name)
        for requirement in map(Requirement, known[name].requires or ()):
            marker = requirement.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
                _needed(requirement.name, tuple(requirement.extras), known)
    return known


def docker(*arguments: str) -> str:
    """What Docker's command line prints."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False, timeout=COMMAND)
    assert done.returncode == 0, done.stderr
    return done.stdout


def name_in(program: Program, node: str, address: str, *names: str) -> None:
    """Let a node know names, whatever a name server says."""
    line = f"{address} {' '.join(names)}"
    docker("exec", "--user", "0", host_name(program.name, node), "sh", "-c", f"echo {line} >> /etc/hosts")


@contextmanager
def network_of(program: Program, node: str) -> Iterator[list[str]]:
    """The beginning of a command that runs a program of the host in a node's network, with the node's names."""
    container = host_name(program.name, node)
    pid = docker("inspect", "--format", "{{.State.Pid}}", container).strip()
    with tempfile.NamedTemporaryFile("w", suffix="hosts") as hosts:
        hosts.write(docker("exec", container, "cat", "/etc/hosts"))
        hosts.flush()
        mount = 'mount --bind "$0" /etc/hosts && exec "$@"'
        yield ["nsenter", f"--net=/proc/{pid}/ns/net", "unshare", "--mount", "sh", "-c", mount, hosts.name]
