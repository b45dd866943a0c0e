"""`replicante policy show`: the effective policy as one text, or what enforces each of its rules here."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from replicante.cli import exit_codes
from replicante.cli.diagnostics_view import print_findings
from replicante.cli.output import print_json, print_table
from replicante.cli.policy_loading import AsJson, Reference, Settings, bindings, load, warn

if TYPE_CHECKING:
    from replicante.policy.model import Policy
    from replicante.sandbox.enforcers import Enforced
    from replicante.sandbox.trial import Guarantee

_HELP = """\
Print the effective policy as one text; a TOML file is translated. As JSON: the model of D1.

With `--enforcers`: each rule, limit and other statement with what makes it true on this machine: held, held
by a weaker stand-in, waiting for its enforcer (pending), or nothing. The launcher is asked: it sets a run up
under the policy and executes nothing. Ends with 2 if it refuses.

\b
Examples:
  replicante policy show moderate
  replicante policy show sandbox.toml
  replicante policy show .policy --json
  replicante policy show .policy --enforcers
"""


def add_to(group: typer.Typer) -> None:
    """Registers the command."""
    group.command("show", help=_HELP)(show)


def show(
    reference: Reference,
    with_enforcers: Annotated[
        bool, typer.Option("--enforcers", help="What enforces each rule on this machine.")
    ] = False,
    settings: Settings = None,
    as_json: AsJson = False,
) -> int:
    """Prints a policy."""
    policy = load(reference, settings, as_json=as_json)
    warn(policy, as_json=as_json)
    if with_enforcers:
        return _enforcers(policy, settings, as_json=as_json)
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


def _enforcers(policy: Policy, settings: list[str] | None, *, as_json: bool) -> int:
    """Prints what enforces a policy here, or why the launcher refuses it (P060)."""
    from replicante.sandbox.enforcers import enforcers
    from replicante.sandbox.no_enforcer import refused_here
    from replicante.sandbox.trial import Refusal, trial

    ledger = trial(policy, bindings(settings))
    if isinstance(ledger, Refusal):
        refusal = refused_here(policy, ledger)
        if as_json:
            print_json(False, policy=policy.name, diagnostics=[refusal.to_json()])
        else:
            print_findings([refusal])
        return exit_codes.POLICY_ERROR
    rows = enforcers(policy, ledger)
    if as_json:
        print_json(
            True,
            policy=policy.name,
            identity=policy.identity,
            statements=[{**asdict(row), "degree": row.degree} for row in rows],
            ledger=[asdict(guarantee) for guarantee in ledger],
            diagnostics=[diagnostic.to_json() for diagnostic in policy.warnings],
        )
    else:
        _print(rows, ledger)
    return exit_codes.GOOD


def _print(rows: list[Enforced], ledger: tuple[Guarantee, ...]) -> None:
    names = {guarantee.name for guarantee in ledger}
    print_table(
        [
            (row.degree, row.statement, ", ".join(g.name if g.name in names else g.by for g in row.by))
            for row in rows
        ],
        ("degree", "statement", "enforced by"),
    )
    sys.stdout.write("\n")
    print_table([(g.state, g.name, g.by) for g in ledger], ("degree", "enforcer", "how"))
