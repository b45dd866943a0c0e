"""`replicante policy explain`: decides one request and says why."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from replicante.cli import exit_codes
from replicante.cli.diagnostics_view import render_all
from replicante.cli.output import print_json
from replicante.cli.policy_loading import AsJson, Settings, bindings, load
from replicante.cli.request_words import request_text

_HELP = """\
Decide one request, written as after `expect`, and say which rule decides.

`explain @GROUP` lists the system calls of a group.

Ends with 0 if the request is allowed, else with 1.

\b
Examples:
  replicante policy explain moderate read '${workspace}/.env'
  replicante policy explain moderate connect github.com port 443
  replicante policy explain .policy create '${workspace}/.git/hooks/pre-commit' --json
  replicante policy explain @mount
"""


def add_to(group: typer.Typer) -> None:
    """Registers the command."""
    group.command("explain", help=_HELP, context_settings={"allow_interspersed_args": True})(explain)


def explain(
    reference: Annotated[str, typer.Argument(metavar="POLICY|@GROUP", help="A policy, or a group.")],
    request: Annotated[list[str] | None, typer.Argument(metavar="REQUEST", help="As after `expect`.")] = None,
    settings: Settings = None,
    as_json: AsJson = False,
) -> int:
    """Explains one decision."""
    if reference.startswith("@"):
        return _list_group(reference, as_json=as_json)
    if not request:
        sys.stderr.write("replicante: name a request, as in `explain moderate read /etc/passwd`\n")
        return exit_codes.USAGE
    from replicante.errors import PolicyError
    from replicante.policy.explain import answer
    from replicante.policy.requests import parse_question

    policy = load(reference, settings, as_json=as_json)
    try:
        question = parse_question(request_text(request), bindings(settings))
    except PolicyError as error:
        if as_json:
            print_json(False, diagnostics=[diagnostic.to_json() for diagnostic in error.diagnostics])
        else:
            sys.stderr.write(render_all(error))
        return exit_codes.POLICY_ERROR
    answered = answer(policy.compile(), question)
    if as_json:
        sys.stdout.write(json.dumps(answered.to_json()) + "\n")
    else:
        sys.stdout.write(f"{answered.text()}\n")
    return exit_codes.GOOD if answered.allowed else exit_codes.NO


def _list_group(name: str, *, as_json: bool) -> int:
    from replicante._core import syscall_groups

    groups = syscall_groups()
    if name not in groups:
        sys.stderr.write(f"replicante: there is no group `{name}`; known are {', '.join(sorted(groups))}\n")
        return exit_codes.USAGE
    calls = sorted(groups[name])
    if as_json:
        print_json(True, group=name, syscalls=calls, diagnostics=[])
    else:
        sys.stdout.write("".join(f"{call}\n" for call in calls))
    return exit_codes.GOOD
