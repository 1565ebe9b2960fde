"""The command `testbed` as its users have it: a program, run in a folder of state of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from testbed.paths import EXAMPLES
from tests.e2e import forked

EXAMPLE = EXAMPLES / "serverless-vpc-access.yaml"


def example(name: str) -> dict[str, Any]:
    """The example's topology as data that a test may change, under another name."""
    data: dict[str, Any] = yaml.safe_load(EXAMPLE.read_text())
    # Every deployment has its own copy of what YAML's anchors share.
    return {**json.loads(json.dumps(data)), "name": name}


def _absolute(value: Any, key: str = "") -> Any:
    """The topology with source folders that do not depend on where its file is."""
    if isinstance(value, dict):
        return {inner: _absolute(item, inner) for inner, item in value.items()}
    if isinstance(value, list):
        return [_absolute(item) for item in value]
    return str(EXAMPLES / value) if key in ("sourceLocation", "source", "sourceUrl") else value


@dataclass
class Program:
    """A testbed of a name, driven by the command line."""

    name: str
    folder: Path
    """Where topology files of tests are written."""
    state: Path
    environment: dict[str, str] = field(default_factory=dict)

    def run(self, *arguments: str, check: bool = True, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run `testbed ARGUMENTS`; its standard output and error are in the result."""
        result = self.executed(arguments, stdin)
        if check:
            assert result.returncode == 0, f"testbed {' '.join(arguments)}: {result.stdout}{result.stderr}"
        return result

    def executed(self, arguments: Sequence[str], stdin: str | None) -> subprocess.CompletedProcess[str]:
        """What came of a command that was run to its end."""
        return forked.run(arguments, self.variables(), stdin)

    def command(self, *arguments: str) -> list[str]:
        """The command line, to be started as a program."""
        return [sys.executable, "-m", "testbed", *arguments]

    def variables(self) -> dict[str, str]:
        """The environment of the program."""
        return {**os.environ, "TESTBED_STATE": str(self.state), "TESTBED_NAME": self.name, **self.environment}

    def json(self, *arguments: str) -> Any:
        """The result of `testbed ARGUMENTS --json`."""
        return json.loads(self.run(*arguments, "--json").stdout)

    def up(self, topology: dict[str, Any], *, check: bool = True) -> subprocess.CompletedProcess[str]:
        """`testbed up` with a topology."""
        return self.run("up", self.file(topology), "--yes", check=check)

    def file(self, topology: dict[str, Any]) -> str:
        """A file with a topology; its relative source folders are the example's."""
        path = self.folder / f"{self.name}.yaml"
        path.write_text(yaml.safe_dump(_absolute(topology), sort_keys=False))
        return str(path)

    def invoke(self, service: str, path: str, *, check: bool = True) -> Any:
        """The JSON body that a service answers, called from the internet."""
        result = self.run("invoke", service, path, check=check)
        return json.loads(result.stdout)

    def execute(self, node: str, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command in a node."""
        return self.run("exec", node, "--", *command, check=check)

    def down(self) -> None:
        """`testbed down`, whatever state the testbed is in."""
        result = self.run("down", check=False)
        assert result.returncode in (0, 3), result.stderr
