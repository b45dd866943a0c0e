"""The Typer application: help, completion, and every command but a plain `run`.

Only the module of the command that is called is imported; for help and completion, which name them all, the
table of `app.py` and the option table of `run` are enough.
"""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any, Protocol, cast

import typer
from typer.main import get_command

from replicante import env
from replicante._core import __version__
from replicante.cli import exit_codes
from replicante.cli.app import COMMANDS
from replicante.cli.run import described
from replicante.cli.run_options import OPTIONS, USAGE
from replicante.errors import ReplicanteError

_HELP = """\
Run an agent, any program, under a written policy that the kernel enforces.

\b
Examples:
  replicante run -- python3 script.py
  replicante policy check .policy
  replicante policy explain moderate read '${home}/.ssh/id_ed25519'
  replicante doctor
  replicante sandbox
"""


class CommandModule(Protocol):
    """What the module of a command group offers."""

    def add_to(self, root: typer.Typer) -> None:
        """Registers the group's commands."""
        ...


def main(arguments: Sequence[str]) -> int:
    """Runs a command line and gives its exit code (policy-language §14)."""
    command = get_command(application(arguments))
    try:
        result = command.main(
            list(arguments) or ["--help"],
            prog_name="replicante",
            complete_var=env.COMPLETE,
            standalone_mode=False,
        )
    except ReplicanteError as error:
        sys.stderr.write(f"replicante: {described(error)}\n")
        return exit_codes.USAGE
    except typer.TyperException as error:
        sys.stderr.write(
            f"replicante: {error.format_message()}; `--help` after a command shows its options\n"
        )
        return exit_codes.USAGE
    except typer.Abort:
        return exit_codes.NO
    return result if isinstance(result, int) else exit_codes.GOOD


def application(arguments: Sequence[str]) -> typer.Typer:
    """The application for one command line: with one group, or with all when names are to be listed."""
    root = typer.Typer(
        name="replicante",
        help=_HELP,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    root.callback(invoke_without_command=True)(_root)
    named = arguments[0] if arguments and env.COMPLETE not in os.environ else None
    if named in COMMANDS:
        _module(named).add_to(root)
        return root
    for name in COMMANDS:
        if name == "run":
            _add_run(root)
        else:
            _module(name).add_to(root)
    return root


def _module(name: str) -> CommandModule:
    return cast("CommandModule", importlib.import_module(COMMANDS[name][0]))


def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False,
) -> None:
    if version:
        typer.echo(f"replicante {__version__}")
        raise typer.Exit(exit_codes.GOOD)


def _add_run(root: typer.Typer) -> None:
    """Lists `run` with the options of its own table; a command line of `run` never comes here."""

    def run(**_: Any) -> None:
        raise typer.Exit(exit_codes.USAGE)

    parameters = [
        inspect.Parameter(
            option.name[2:].replace("-", "_"),
            inspect.Parameter.KEYWORD_ONLY,
            default=False if not option.metavar else None,
            annotation=Annotated[
                bool if not option.metavar else list[str] if option.repeated else str,
                typer.Option(option.name, metavar=option.metavar or None, help=option.help),
            ],
        )
        for option in OPTIONS
        if option.name != "--help"
    ]
    parameters.append(
        inspect.Parameter(
            "command", inspect.Parameter.KEYWORD_ONLY, annotation=Annotated[list[str], typer.Argument()]
        )
    )
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    root.command("run", help=f"{COMMANDS['run'][1]}\n\n\b\n{USAGE}")(run)
