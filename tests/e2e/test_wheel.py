"""The wheel as somebody installs it who has no checkout."""

from __future__ import annotations

import secrets
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from testbed.paths import PROJECT
from tests.distribution import build
from tests.e2e.program import Program
from tests.e2e.small import traces


@dataclass
class Installed(Program):
    """The program of an environment that knows nothing of the checkout, nor of what only tests need."""

    environment_folder: Path = Path()

    def command(self, *arguments: str) -> list[str]:
        return [
            "env",
            "--unset=PYTHONPATH",
            f"--chdir={self.folder}",
            str(self.environment_folder / "bin" / "testbed"),
            *arguments,
        ]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the locked packages and the wheel; uv has the packages from the set-up."""
    folder = tmp_path_factory.mktemp("installed") / "venv"
    uv = [str(Path(sys.executable).with_name("uv")), "--quiet", "--system-certs"]
    install = [*uv, "pip", "install", "--python", str(folder)]
    wheel = build("wheel", PROJECT, tmp_path_factory.mktemp("wheel"))
    subprocess.run([*uv, "venv", "--python", sys.executable, str(folder)], check=True)
    subprocess.run([*install, "--require-hashes", "--requirement", str(PROJECT / "locks" / "runtime.txt")], check=True)
    subprocess.run([*install, "--no-deps", str(wheel)], check=True)
    return folder


@pytest.fixture
def installed(environment: Path, tmp_path: Path) -> Iterator[Installed]:
    name = f"wheel-{secrets.token_hex(2)}"
    (tmp_path / "tmp").mkdir()
    variables = {"TMPDIR": str(tmp_path / "tmp"), "PYTHONDONTWRITEBYTECODE": "1"}
    made = Installed(name, tmp_path, tmp_path / "state", variables, environment)
    try:
        yield made
    finally:
        made.down()


def contents(folder: Path) -> dict[str, tuple[int, int]]:
    """The files below a folder, with sizes and times of the last change."""
    files = {str(path): path.lstat() for path in folder.rglob("*") if not path.is_dir()}
    return {path: (found.st_size, found.st_mtime_ns) for path, found in files.items()}


def test_a_testbed_of_the_wheel(installed: Installed) -> None:
    program = "import testbed; print(testbed.__file__)"
    python = str(installed.environment_folder / "bin" / "python")
    found = subprocess.run([python, "-c", program], cwd="/", capture_output=True, text=True, check=True).stdout
    assert Path(found.strip()).is_relative_to(installed.environment_folder)
    before = contents(installed.environment_folder)

    installed.run("doctor", "--prepare")
    installed.run("up", "--name", installed.name)  # without a file: the example that came with the wheel
    assert installed.invoke("hello-run", "/vm")["body"]["client"].startswith("10.8.0.")
    assert installed.json("load", "--users", "2", "--duration", "2s")["outcome"]["total"]["requests"]  # none failed
    installed.run("down")

    assert not traces(installed)
    assert contents(installed.environment_folder) == before, "an installed package is nobody's place to write"
