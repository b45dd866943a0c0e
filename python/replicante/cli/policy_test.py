"""`replicante policy test`: runs the tests of a policy, and counts which rules they cover."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from replicante.cli import exit_codes
from replicante.cli.output import print_json
from replicante.cli.policy_loading import AsJson, Reference, Settings, load, warn

if TYPE_CHECKING:
    from replicante.policy.tests_run import Coverage, Difference

_HELP = """\
Run the tests of a policy. Every load runs them; this also counts what they cover.

\b
Examples:
  replicante policy test .policy
  replicante policy test .policy --coverage --min 80
  replicante policy test .policy --inherited
"""


def add_to(group: typer.Typer) -> None:
    """Registers the command."""
    group.command("test", help=_HELP)(test)


def test(
    reference: Reference,
    show_coverage: Annotated[bool, typer.Option("--coverage", help="Name the rules without test.")] = False,
    minimum: Annotated[int, typer.Option("--min", min=0, max=100, help="Least coverage, in percent.")] = 0,
    inherited: Annotated[bool, typer.Option("--inherited", help="Run the ancestors' tests as well.")] = False,
    settings: Settings = None,
    as_json: AsJson = False,
) -> int:
    """Runs tests; a policy whose tests fail does not load."""
    from replicante.policy.tests_run import coverage, inherited_differences

    policy = load(reference, settings, as_json=as_json)
    warn(policy, as_json=as_json)
    covered = coverage(policy)
    differences = list(inherited_differences(policy)) if inherited else []
    percent = _percent(covered)
    ok = percent >= minimum
    if as_json:
        print_json(
            ok,
            passed=covered.expectations,
            coverage=percent,
            not_covered=covered.not_covered,
            differences=[asdict(difference) for difference in differences],
            diagnostics=[diagnostic.to_json() for diagnostic in policy.warnings],
        )
        return exit_codes.GOOD if ok else exit_codes.NO
    sys.stdout.write(_text(covered, differences, percent if show_coverage or minimum else None))
    if not ok:
        sys.stderr.write(f"replicante: {percent} % of the rules are covered, not {minimum} %\n")
    return exit_codes.GOOD if ok else exit_codes.NO


def _percent(covered: Coverage) -> int:
    """Covered rules of all that can be, in whole percent rounded down."""
    total = len(covered.covered) + len(covered.not_covered)
    return 100 if total == 0 else len(covered.covered) * 100 // total


def _text(covered: Coverage, differences: list[Difference], percent: int | None) -> str:
    lines = [f"{covered.expectations} passed"]
    if percent is not None:
        lines += [f"{rule}  not covered" for rule in covered.not_covered]
        lines.append(f"{percent} % of {len(covered.covered) + len(covered.not_covered)} rules covered")
    lines += [
        f"{one.policy}, test `{one.test}`: {one.request} is {one.actual}, expected {one.expected}: {one.why}"
        for one in differences
    ]
    return "\n".join(lines) + "\n"
