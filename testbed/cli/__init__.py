"""The command line.  Each module has one group of commands; all of them end through `main`."""

from __future__ import annotations

import os
import signal
import sys

import typer

from testbed import __version__
from testbed.cli import access, check, clients, configuration, fault, inspect, keys, lifecycle, loading
from testbed.cli.output import errors, results
from testbed.errors import TestbedError

app = typer.Typer(
    name="testbed",
    help="Google Cloud Serverless VPC Access on your own Linux machine, with real packets.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in (lifecycle, inspect, access, clients, keys, fault, configuration, loading, check):
    module.register(app)

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
    try:
        status = app(standalone_mode=False)
    except TestbedError as error:
        errors.print(f"[bold red]error:[/] [dim]{error.status}[/] ", end="")
        errors.print(error.message, markup=False, highlight=False)
        if error.hint:
            errors.print(f"[bold]hint:[/] {error.hint}", highlight=False)
        status = error.exit_status
    except typer.TyperException as error:
        error.show()  # type: ignore[attr-defined]  # all that are raised have it, the base class does not
        status = error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        errors.print("interrupted")
        status = _INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nobody reads: do not fail again at exit
        status = _BROKEN_PIPE
    sys.exit(status)
