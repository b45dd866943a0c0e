"""`replicante policy lint`: what a policy that loads says needlessly, widely or without a name."""

from __future__ import annotations

import sys

import typer

from replicante.cli import exit_codes
from replicante.cli.diagnostics_view import print_findings
from replicante.cli.output import print_json
from replicante.cli.policy_loading import AsJson, Reference, Settings, load, unrelated_bindings

_HELP = """\
Tell what a policy that loads says needlessly, widely or without a name.

Rules that another rule makes needless (W120), names that may be written and executed outside of the
workspace, tmp and cache (W121), denies without label (W125), wildcards that add nothing (W126), and every
warning of `check`. The ancestors of a policy are linted by themselves.

Ends with 0 if there is nothing to tell, else with 1.

\b
Examples:
  replicante policy lint .policy
  replicante policy lint agents.policy:reviewer --json
"""


def add_to(group: typer.Typer) -> None:
    """Registers the command."""
    group.command("lint", help=_HELP)(lint)


def lint(reference: Reference, settings: Settings = None, as_json: AsJson = False) -> int:
    """Prints the findings of `policy.lint.lint`."""
    from replicante.policy.lint import lint as findings_of

    policy = load(reference, settings, as_json=as_json, bind=unrelated_bindings)
    findings = findings_of(policy)
    if as_json:
        diagnostics = [finding.to_json() for finding in findings]
        print_json(not findings, policy=policy.name, identity=policy.identity, diagnostics=diagnostics)
    else:
        print_findings(findings)
        count = len(findings)
        told = "nothing to tell" if not count else "1 finding" if count == 1 else f"{count} findings"
        sys.stdout.write(f"{policy.name}: {told}\n")
    return exit_codes.NO if findings else exit_codes.GOOD
