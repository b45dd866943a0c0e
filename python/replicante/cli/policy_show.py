"""`replicante policy show`: the effective policy as one text."""

from __future__ import annotations

import sys

import typer

from replicante.cli import exit_codes
from replicante.cli.output import print_json
from replicante.cli.policy_loading import AsJson, Reference, Settings, load, warn

_HELP = """\
Print the effective policy as one text; a TOML file is translated. As JSON: the model of D1.

\b
Examples:
  replicante policy show moderate
  replicante policy show sandbox.toml
  replicante policy show .policy --json
"""


def add_to(group: typer.Typer) -> None:
    """Registers the command."""
    group.command("show", help=_HELP)(show)


def show(reference: Reference, settings: Settings = None, as_json: AsJson = False) -> int:
    """Prints a policy."""
    policy = load(reference, settings, as_json=as_json)
    warn(policy, as_json=as_json)
    if as_json:
        print_json(
            True,
            policy=policy.model_dump(mode="json"),
            identity=policy.identity,
            trust_digest=policy.trust_digest,
            diagnostics=[diagnostic.to_json() for diagnostic in policy.warnings],
        )
    else:
        sys.stdout.write(policy.text())
    return exit_codes.GOOD
