"""The real gcloud, pointed at a testbed by `testbed env` as a user points it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from typing import Any

import pytest

from tests.e2e.program import Program
from tests.waiting import COMMAND

needs_gcloud = pytest.mark.skipif(shutil.which("gcloud") is None, reason="gcloud is not installed")


@dataclass
class Gcloud:
    """gcloud with the variables that `testbed env` prints."""

    variables: dict[str, str]

    @classmethod
    def of(cls, program: Program, *options: str, project: str | None = None) -> Gcloud:
        """gcloud for a testbed; `--proxy` among the options overrides no endpoint."""
        found: dict[str, str] = program.json("env", *options)
        chosen = {"CLOUDSDK_CORE_PROJECT": project} if project else {}
        return cls({**found, **chosen, "CLOUDSDK_CORE_DISABLE_PROMPTS": "1"})

    def attempt(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command, whatever becomes of it."""
        plain = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        return subprocess.run(
            ["gcloud", *arguments],
            capture_output=True,
            text=True,
            timeout=COMMAND,
            check=False,
            stdin=subprocess.DEVNULL,
            env={**plain, **self.variables},
        )

    def __call__(self, *arguments: str) -> str:
        """What a command prints to standard output; it must succeed."""
        done = self.attempt(*arguments)
        assert done.returncode == 0, f"gcloud {' '.join(arguments)}:\n{done.stdout}{done.stderr}"
        return done.stdout

    def json(self, *arguments: str) -> Any:
        """The result of a command as data."""
        return json.loads(self(*arguments, "--format=json"))

    def table(self, *arguments: str) -> list[list[str]]:
        """The words of the lines that a list command prints, its head first."""
        return [line.split() for line in self(*arguments).splitlines()]
