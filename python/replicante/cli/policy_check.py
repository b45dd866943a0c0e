"""`replicante policy check`: loads a policy completely, its tests included."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from replicante.cli import exit_codes
from replicante.cli.diagnostics_view import print_findings
from replicante.cli.output import print_json
from replicante.cli.policy_loading import AsJson, Reference, Settings, bindings, load
from replicante.errors import ConfigError

if TYPE_CHECKING:
    from replicante.policy.diagnostics import Diagnostic
    from replicante.policy.model import Policy

_HELP = """\
Load a policy completely, its tests included, and say every finding.

With `--host`, this machine's launcher is asked as well: it sets a run up under the policy and executes
nothing. With `--assume`, a machine of which FILE has the output of `replicante doctor --json`. What nothing
enforces there, and has no stand-in that the policy accepts, is P060.

\b
Examples:
  replicante policy check .policy
  replicante policy check agents.policy:reviewer --strict
  replicante policy check sandbox.toml --host --json
  replicante doctor --json > there.json && replicante policy check .policy --assume there.json
"""


def add_to(group: typer.Typer) -> None:
    """Registers the command."""
    group.command("check", help=_HELP)(check)


def check(
    reference: Reference,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings are errors.")] = False,
    host: Annotated[bool, typer.Option("--host", help="Ask this machine for the enforcers as well.")] = False,
    assume: Annotated[
        Path | None, typer.Option("--assume", metavar="FILE", help="Ask a machine that FILE describes.")
    ] = None,
    settings: Settings = None,
    as_json: AsJson = False,
) -> int:
    """Prints the findings and the line `ok …`."""
    if host and assume is not None:
        sys.stderr.write("replicante: `--host` and `--assume` ask different machines; choose one\n")
        return exit_codes.USAGE
    policy = load(reference, settings, as_json=as_json)
    errors: list[Diagnostic] = []
    warnings = list(policy.warnings)
    if host:
        errors, of_host = _asked_here(policy, settings)
        warnings += of_host
    if assume is not None:
        errors = _asked_there(policy, assume)
    ok = not errors and not (strict and warnings)
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
            diagnostics=[diagnostic.to_json() for diagnostic in (*warnings, *errors)],
        )
        return exit_codes.GOOD if ok else exit_codes.POLICY_ERROR
    print_findings(warnings)
    print_findings(errors)
    if not ok:
        sys.stderr.write("refused\n")
        return exit_codes.POLICY_ERROR
    accepted = f", accepts weaker {', '.join(policy.accept)}" if policy.accept else ""
    sys.stdout.write(f"ok {policy.name} sha256:{policy.identity} {rules} rules, {tests} tests{accepted}\n")
    return exit_codes.GOOD


def _asked_here(
    policy: Policy, settings: list[str] | None
) -> tuple[list[Diagnostic], tuple[Diagnostic, ...]]:
    """Asks the launcher: what nothing enforces (P060), and what there is less of (W110, W130)."""
    from replicante.policy.checks.host import machine_warnings, present_means
    from replicante.sandbox.no_enforcer import refused_here
    from replicante.sandbox.trial import Refusal, trial

    ledger = trial(policy, bindings(settings))
    if isinstance(ledger, Refusal):
        # What is done about held changes is then not known, and not asked before the refusal is dealt with.
        return [refused_here(policy, ledger)], machine_warnings(policy, present_means(has_commit_gate=True))
    has_gate = not any(row.name == "held changes" and row.state == "pending" for row in ledger)
    return [], machine_warnings(policy, present_means(has_commit_gate=has_gate))


def _asked_there(policy: Policy, file: Path) -> list[Diagnostic]:
    """What nothing enforces on the machine that a file describes (P060)."""
    from replicante.sandbox.no_enforcer import described_machine, refused_there

    try:
        content = file.read_bytes()
    except OSError as error:
        raise ConfigError(f"{file} can't be read: {error.strerror}") from error
    return refused_there(policy, described_machine(content, str(file)))
