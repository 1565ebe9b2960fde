"""The testbed's name as the caller of sudo(8) has it: read from sudo's own environment, the parent's."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SUDO = """
import subprocess, sys
program = "import os, testbed.cli.caller as c; c.restore_name(); print(os.environ.get('TESTBED_NAME'))"
given = dict(pair.split("=", 1) for pair in sys.argv[1:])
subprocess.run([sys.executable, "-c", program], env=given, check=True)
"""
"""What sudo does: it has the caller's environment, and gives the command another one."""


@pytest.mark.parametrize(
    ("callers", "commands", "name"),
    [
        ({"TESTBED_NAME": "mine"}, {"SUDO_UID": "1000"}, "mine"),
        ({"TESTBED_NAME": "mine"}, {"SUDO_UID": "1000", "TESTBED_NAME": "given"}, "given"),
        ({"TESTBED_NAME": "mine"}, {}, "None"),
        ({}, {"SUDO_UID": "1000"}, "None"),
    ],
    ids=["sudo", "sudo with a variable", "no sudo", "no name"],
)
def test_the_name_of_the_callers_shell(callers: dict[str, str], commands: dict[str, str], name: str) -> None:
    path = {"PATH": os.environ["PATH"]}
    given = [f"{key}={value}" for key, value in {**path, **commands}.items()]
    done = subprocess.run(
        [sys.executable, "-c", SUDO, *given], env={**path, **callers}, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == name
