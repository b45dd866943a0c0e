"""`replicante policy check`: loads a policy completely, its tests included."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from replicante.cli import exit_codes
from replicante.cli.diagnostics_view import print_findings
from replicante.cli.output import print_json
from replicante.cli.policy_loading import AsJson, Reference, Settings, load

if TYPE_CHECKING:
    from replicante.policy.diagnostics import Diagnostic
    from replicante.policy.model import Policy
    from replicante.sandbox.doctor import Guarantee

_HELP = """\
Load a policy completely, its tests included, and say every finding.

\b
Examples:
  replicante policy check .policy
  replicante policy check agents.policy:reviewer --strict
  replicante policy check sandbox.toml --host --json
"""


def add_to(group: typer.Typer) -> None:
    """Registers the command."""
    group.command("check", help=_HELP)(check)


def check(
    reference: Reference,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings are errors.")] = False,
    host: Annotated[bool, typer.Option("--host", help="Ask this machine for the enforcers as well.")] = False,
    settings: Settings = None,
    as_json: AsJson = False,
) -> int:
    """Prints the findings and the line `ok …`."""
    policy = load(reference, settings, as_json=as_json)
    missing = _missing(policy) if host else []
    warnings = (*policy.warnings, *(_host_warnings(policy) if host else ()))
    ok = not missing and not (strict and warnings)
    rules, tests = len(policy.source_map), len(policy.tests)
    if as_json:
        print_json(
            ok,
            policy=policy.name,
            identity=policy.identity,
            trust_digest=policy.trust_digest,
            rules=rules,
            tests=tests,
            accept=policy.accept,
            missing=[{"name": row.name, "found": row.found, "help": row.help} for row in missing],
            diagnostics=[diagnostic.to_json() for diagnostic in warnings],
        )
        return exit_codes.GOOD if ok else exit_codes.POLICY_ERROR
    print_findings(warnings)
    for row in missing:
        sys.stderr.write(f"error[P060]: {row.name}: {row.found}; {row.help}\n")
    if not ok:
        sys.stderr.write("refused\n")
        return exit_codes.POLICY_ERROR
    accepted = f", accepts weaker {', '.join(policy.accept)}" if policy.accept else ""
    sys.stdout.write(f"ok {policy.name} sha256:{policy.identity} {rules} rules, {tests} tests{accepted}\n")
    return exit_codes.GOOD


def _missing(policy: Policy) -> list[Guarantee]:
    """The enforcers that this machine lacks and for which the policy accepts no stand-in (P060)."""
    from replicante.sandbox.doctor import judge, probe

    return [row for row in (judge(finding, policy.accept) for finding in probe()) if row.degree == "not held"]


def _host_warnings(policy: Policy) -> tuple[Diagnostic, ...]:
    """What this machine has less of than the policy asks for (W110, W130); no gate holds changes (F10)."""
    from replicante.policy.checks.host import machine_warnings, present_means

    return machine_warnings(policy, present_means(has_commit_gate=False))
