"""What the commands of `policy` share: options, and loading the policy that is named."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from replicante.cli import exit_codes
from replicante.cli.diagnostics_view import print_findings, render_all
from replicante.cli.output import print_json
from replicante.cli.run import described
from replicante.errors import LaunchError, PolicyError

if TYPE_CHECKING:
    from replicante.policy.model import Policy

Reference = Annotated[str, typer.Argument(metavar="POLICY", help="NAME that ships, FILE or FILE:NAME.")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="The value of a policy variable.")
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]


def bindings(settings: list[str] | None) -> dict[str, str]:
    """The variables as a run started here would have them.

    Raises:
        LaunchError: L023 for a setting that can't be used.
    """
    from replicante.sandbox.bindings import default_bindings, resolve_workspace
    from replicante.sandbox.state import new_run_id

    values: dict[str, str] = {}
    for setting in settings or ():
        name, equals, value = setting.partition("=")
        if not equals:
            raise LaunchError(f"`--set` takes NAME=VALUE, not `{setting}`", code="L023", help="write it so")
        values[name] = value
    return default_bindings(resolve_workspace(None), new_run_id(), values)


def unrelated_bindings(settings: list[str] | None) -> dict[str, str]:
    """The variables as for any user: workspace and home lie in no tree that a policy names.

    Raises:
        LaunchError: L023 for a setting that can't be used.
    """
    return bindings(["workspace=/some-workspace", "home=/some-home", *(settings or ())])


def load(
    reference: str,
    settings: list[str] | None,
    *,
    as_json: bool,
    bind: Callable[[list[str] | None], dict[str, str]] = bindings,
) -> Policy:
    """Loads a policy with its tests; ends the command with its findings when it is refused.

    Args:
        reference: As T8 says.
        settings: What was given with `--set`.
        as_json: Whether findings are printed as JSON.
        bind: Gives the variables, `bindings` or `unrelated_bindings`.

    Raises:
        typer.Exit: 2 for a policy with errors, 4 for a file that can't be read or a wrong option.
    """
    from replicante.sandbox.load_reference import load_reference

    try:
        return load_reference(reference, bind(settings))
    except PolicyError as error:
        if as_json:
            print_json(False, diagnostics=[diagnostic.to_json() for diagnostic in error.diagnostics])
        else:
            sys.stderr.write(render_all(error))
        raise typer.Exit(exit_codes.POLICY_ERROR) from error
    except LaunchError as error:
        sys.stderr.write(f"replicante: {described(error)}\n")
        raise typer.Exit(exit_codes.USAGE) from error


def warn(policy: Policy, *, as_json: bool) -> None:
    """Prints the warnings of a policy that loads, unless they go into a JSON object."""
    if not as_json:
        print_findings(policy.warnings)
