"""The program's commands are found in their modules, and those only."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest
import typer
from typer.testing import CliRunner

from testbed.cli import MODULES, app


@pytest.mark.parametrize("module", MODULES)
def test_each_module_has_the_commands_that_are_said(module: str) -> None:
    found = typer.Typer()
    import_module(f"testbed.cli.{module}").register(found)
    assert set(typer.main.get_group(found).commands) == set(MODULES[module])


def test_a_misspelt_command_is_suggested() -> None:
    result = CliRunner().invoke(app, ["exce"])
    assert result.exit_code == 2
    assert "Did you mean 'exec'?" in result.output


@pytest.mark.parametrize(
    "words",
    [
        ("invoke", "hello", "--timeout", "0"),
        ("logs", "vm", "--tail", "-5"),
        ("events", "--tail", "-5"),
        ("fault", "add", "error", "--count", "-1"),
        ("load", "--users", "0"),
        ("load", "--spawn-rate", "0"),
        ("load", "--port", "65536"),
        ("serve", "--port", "0"),
        ("up", "--operation-delay", "-1"),
    ],
)
def test_a_number_that_means_nothing_is_refused(words: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2
    assert f"Invalid value for '{words[-2]}'" in result.output


def test_a_command_does_not_wait_for_what_others_need() -> None:
    """`ls` imports neither the API's server nor Ansible."""
    text = "import sys; from testbed.cli import app; app(['ls', '-h'], standalone_mode=False); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "testbed.cli.inspect" in loaded
    assert not loaded & {"testbed.cli.lifecycle", "testbed.api.server", "ansible_runner", "uvicorn"}
