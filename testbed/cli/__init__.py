"""The command line.  Each module has one group of commands; all of them end through `main`.

A module is imported when one of its commands is asked for: what `up` needs would double the time that `exec` takes.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

from testbed import __version__
from testbed.cli.caller import restore_name
from testbed.cli.output import errors, results
from testbed.errors import TestbedError
from testbed.foreign_errors import of_file

MODULES: Mapping[str, tuple[str, ...]] = {
    "up": ("up",), "down": ("down",), "serve": ("serve",), "inspect": ("status", "ls", "drops"),
    "nodes": ("exec", "logs"), "invocation": ("invoke",),
    "clients": ("env", "export"), "keys": ("key",), "fault": ("fault",), "clock": ("clock",),
    "events": ("events",), "configuration": ("configure",),
    "loading": ("load",), "check": ("validate", "schema", "doctor"),
}  # fmt: skip
"""The commands of each module, in the order of the help."""


def module(name: str) -> Any:
    """A module of commands, imported when it is needed."""
    return import_module(f"{__name__}.{name}")


class Commands(TyperGroup):
    """The commands of all modules."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - typer's signature
        """Their names."""
        return [name for names in MODULES.values() for name in names]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A command; None if there is none of that name: then all are known, and one may be suggested."""
        if cmd_name not in self.commands:
            for name in [name for name, names in MODULES.items() if cmd_name in names] or MODULES:
                found = typer.Typer()
                module(name).register(found)
                self.commands.update(typer.main.get_group(found).commands)
        return super().get_command(ctx, cmd_name)


app = typer.Typer(
    name="testbed",
    cls=Commands,
    help="Google Cloud Serverless VPC Access on your own Linux machine, with real packets.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_INTERRUPTED = 130
_BROKEN_PIPE = 141


def _version(value: bool) -> None:
    if value:
        results.print(f"testbed {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    """Options of the program itself."""


def main() -> None:
    """Run the command; an error becomes a short text on stderr and the exit status of its class."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:  # nohup(1) lets a signal be ignored
            signal.signal(number, signal.default_int_handler)  # as orderly an end as Ctrl-C
    restore_name()
    try:
        status = app(standalone_mode=False)
    except TestbedError as error:
        status = _told(error)
    except typer.TyperException as error:
        error.show()  # type: ignore[attr-defined]  # all that are raised have it, the base class does not
        status = error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        errors.print("interrupted")
        status = _INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nobody reads: do not fail again at exit
        status = _BROKEN_PIPE
    except OSError as error:
        if (known := of_file(error)) is None:
            raise
        status = _told(known)
    sys.exit(status)


def _told(error: TestbedError) -> int:
    """Print an error; returns its exit status."""
    errors.print(f"[bold red]error:[/] [dim]{error.status}[/] ", end="")
    errors.print(error.message, markup=False, highlight=False)
    if error.hint:
        errors.print(f"[bold]hint:[/] {error.hint}", highlight=False)
    return error.exit_status
