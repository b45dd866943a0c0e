"""`replicante doctor`: what this machine can hold, and the one change that helps where it can't."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from replicante.cli import exit_codes
from replicante.cli.output import print_json, print_table

_HELP = """\
Say which guarantees this machine can hold: held, weaker or not held.

Ends with 0 if a run under the default policy would start, else 1.

\b
Examples:
  replicante doctor
  replicante doctor --json
  replicante doctor --fix
  replicante doctor --leftovers
"""


def add_to(root: typer.Typer) -> None:
    """Registers the command."""
    root.command("doctor", help=_HELP)(doctor)


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
    fix: Annotated[
        bool, typer.Option("--fix", help="Print the commands that would help, and run none of them.")
    ] = False,
    leftovers: Annotated[
        bool, typer.Option("--leftovers", help="Remove empty control groups of killed runs, and name them.")
    ] = False,
) -> int:
    """Prints the guarantees of `sandbox.doctor.examine`, or what is asked for instead."""
    if leftovers:
        return _remove_leftovers(as_json)
    from replicante.sandbox.doctor import examine, fix_command

    guarantees = examine()
    if fix:
        commands = [command for each in guarantees if (command := fix_command(each)) is not None]
        for command in commands:
            typer.echo(command)
        return exit_codes.GOOD
    ok = all(guarantee.degree != "not held" for guarantee in guarantees)
    if as_json:
        print_json(ok, guarantees=[asdict(guarantee) for guarantee in guarantees], diagnostics=[])
    else:
        print_table(
            [(guarantee.degree, guarantee.name, guarantee.text, guarantee.found) for guarantee in guarantees],
            ("degree", "what", "guarantee", "found"),
        )
        for guarantee in guarantees:
            if guarantee.help:
                typer.echo(f"{guarantee.name}: {guarantee.help}")
    return exit_codes.GOOD if ok else exit_codes.NO


def _remove_leftovers(as_json: bool) -> int:
    from replicante.sandbox.leftovers import remove_leftovers

    removed = remove_leftovers()
    if as_json:
        print_json(True, removed=removed, diagnostics=[])
    else:
        typer.echo("\n".join(f"removed {path}" for path in removed) or "nothing was left")
    return exit_codes.GOOD
