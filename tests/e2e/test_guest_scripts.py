"""The scripts of a VM's metadata, as Google's guest agent runs them."""

from __future__ import annotations

import base64
import io
import tarfile
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.e2e.small import containers
from tests.e2e.test_instances_api import PROJECT, ZONE, Server, served
from tests.waiting import PATIENCE, eventually

pytestmark = pytest.mark.behaviour("4.7.5")

CAPABILITIES = "00000000000000eb"
"""CHOWN, DAC_OVERRIDE, FOWNER, KILL, SETGID and SETUID (capability.h)."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with served(tmp_path_factory.mktemp("guests"), "gst", privateIpGoogleAccess=True) as made:
        yield made


@pytest.fixture
def machine(server: Server, request: pytest.FixtureRequest) -> Iterator[str]:
    name = request.node.originalname.replace("_", "-")[:30].strip("-")
    yield name
    if f"tb-{server.bed.name}-{name}" in containers(server.bed.name):
        server.do("DELETE", f"{ZONE}/instances/{name}")


def make(server: Server, name: str, **metadata: str) -> None:
    body: dict[str, Any] = {
        "name": name,
        "networkInterfaces": [{"subnetwork": "regions/us-central1/subnetworks/us"}],
        "disks": [
            {"boot": True, "initializeParams": {"sourceImage": "projects/debian-cloud/global/images/family/debian-12"}}
        ],
        "serviceAccounts": [{"email": "default", "scopes": ["https://www.googleapis.com/auth/cloud-platform"]}],
        "metadata": {"items": [{"key": key.replace("_", "-"), "value": text} for key, text in metadata.items()]},
    }
    server.do("POST", f"{ZONE}/instances", body)


def serial(server: Server, name: str) -> str:
    return str(server.call("GET", f"{ZONE}/instances/{name}/serialPort")["contents"])


def finished(server: Server, name: str) -> str:
    eventually(lambda: "Finished running startup scripts." in serial(server, name), "the scripts do not end")
    return serial(server, name)


def package() -> bytes:
    """A Debian package with a file of another user's and a script that makes that user."""

    def tar(files: dict[str, tuple[str, int]]) -> bytes:
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w:gz") as archive:
            for path, (text, mode) in files.items():
                member = tarfile.TarInfo(path)
                member.size, member.mode = len(text), mode
                archive.addfile(member, io.BytesIO(text.encode()))
        return stream.getvalue()

    control = "Package: greeter\nVersion: 1\nArchitecture: all\nMaintainer: a <a@example.com>\nDescription: greets\n"
    script = "#!/bin/sh\nset -e\nuseradd --system greeter\nchown greeter /usr/bin/greet\n"
    members = {
        "debian-binary": b"2.0\n",
        "control.tar.gz": tar({"./control": (control, 0o644), "./postinst": (script, 0o755)}),
        "data.tar.gz": tar({"./usr/bin/greet": ("#!/bin/sh\necho greetings\n", 0o755)}),
    }
    result = b"!<arch>\n"
    for name, data in members.items():
        result += f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode() + data
        result += b"\n" * (len(data) % 2)
    return result


def test_a_script_runs_as_root_and_installs_a_package(server: Server, machine: str) -> None:
    encoded = base64.b64encode(package()).decode()
    script = f"""#!/bin/bash
grep CapEff /proc/self/status
echo {encoded} | base64 -d > /tmp/greeter.deb
apt-get install -y /tmp/greeter.deb > /dev/null 2>&1; echo "apt: $?"
echo "$(id -un) $(stat -c %U /usr/bin/greet) $(greet)"
su greeter -s /bin/sh -c 'id -un'
ip link set lo down 2> /dev/null || echo no change of the network
exit 3
"""
    make(server, machine, startup_script=script)
    said = finished(server, machine)
    for line in (
        "Found startup-script in metadata.",
        f"startup-script: CapEff:\t{CAPABILITIES}",
        "startup-script: apt: 0",
        "startup-script: root greeter greetings",
        "startup-script: greeter",
        "startup-script: no change of the network",
        'Script "startup-script" failed with error: exit status 3',
    ):
        assert f"google_metadata_script_runner: {line}\n" in said
    eventually(lambda: "startup-script: exit status 3" in server.bed.run("events").stdout, "an event of it")


def test_nobody_waits_for_a_script_and_each_boot_runs_it_once(server: Server, machine: str) -> None:
    make(server, machine, startup_script="echo booted; sleep infinity")  # the operation is done, though it never ends

    def boots() -> int:
        return serial(server, machine).count("startup-script: booted")

    eventually(lambda: boots() == 1, "it does not run")
    rule = {"name": f"{machine}-rule", "network": "global/networks/vpc", "allowed": [{"IPProtocol": "icmp"}]}
    server.do("POST", f"{PROJECT}/global/firewalls", rule)
    server.bed.run("configure")
    server.do("POST", f"{ZONE}/instances/{machine}/reset")
    eventually(lambda: boots() == 1, "it does not run after a reset")  # a new container has a log of its own
    server.do("POST", f"{ZONE}/instances/{machine}/stop")
    server.do("POST", f"{ZONE}/instances/{machine}/start")
    eventually(lambda: boots() == 1, "it does not run after a stop and a start")


def test_a_script_comes_from_cloud_storage(server: Server, machine: str) -> None:
    base = f"http://127.0.0.1:{server.port}"
    server.call("POST", "storage/v1/b?project=small", {"name": "scripts-of-vms"})
    upload = f"{base}/upload/storage/v1/b/scripts-of-vms/o?uploadType=media&name=a/boot.sh"
    requests.post(upload, b"#!/bin/sh\necho from a bucket\n", timeout=PATIENCE).raise_for_status()
    make(server, machine, startup_script="echo first", startup_script_url="gs://scripts-of-vms/a/boot.sh")
    said = finished(server, machine)
    first, second = said.index("startup-script: first"), said.index("startup-script-url: from a bucket")
    assert first < second


def test_what_is_not_there_fails_with_the_reason(server: Server, machine: str) -> None:
    make(server, machine, startup_script_url="gs://scripts-of-vms/none.sh")
    assert 'Script "startup-script-url" failed with error: exit status' in finished(server, machine)


def test_a_shutdown_script_runs_before_the_vm_stops(server: Server, machine: str) -> None:
    server.call("POST", "storage/v1/b?project=small", {"name": "goodbyes"})
    url = "https://storage.googleapis.com/upload/storage/v1/b/goodbyes/o?uploadType=media&name=bye"
    make(server, machine, shutdown_script=f"curl -sf -X POST --data-binary bye '{url}'")
    server.do("POST", f"{ZONE}/instances/{machine}/stop")
    stored = f"http://127.0.0.1:{server.port}/download/storage/v1/b/goodbyes/o/bye?alt=media"
    assert requests.get(stored, timeout=PATIENCE).content == b"bye"  # by the VM's network, which was still there
