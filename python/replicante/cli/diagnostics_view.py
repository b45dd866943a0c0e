"""How findings of a policy are printed: on standard error for people, in the JSON object for programs."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from replicante.errors import PolicyError
from replicante.policy.diagnostics import Diagnostic


def render_all(error: PolicyError) -> str:
    """Every finding of a refused policy, and how many errors there are."""
    findings = "".join(f"{diagnostic.render()}\n\n" for diagnostic in error.diagnostics)
    count = sum(diagnostic.severity == "error" for diagnostic in error.diagnostics)
    return f"{findings}refused: {count} {'error' if count == 1 else 'errors'}\n"


def print_findings(diagnostics: Iterable[Diagnostic]) -> None:
    """Prints findings on standard error."""
    for diagnostic in diagnostics:
        sys.stderr.write(f"{diagnostic.render()}\n\n")
