"""Consent of a person to a repository's own policy (policy-language R2)."""

from __future__ import annotations

import sys

from replicante.errors import LaunchError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


class ConsentError(LaunchError):
    """A repository's policy is wider than the trusted one, and nobody agreed to it (P090)."""


def ask_person(name: str, reference: str, reasons: Sequence[str]) -> bool:
    """Shows why a policy counts as wider, and asks on the terminal; without one the answer is no.

    Args:
        name: the policy's name.
        reference: where it comes from.
        reasons: why it counts as wider, one line each.
    """
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    sys.stderr.write(f"The policy {name} of this repository ({reference}) is wider than the trusted one:\n")
    for reason in reasons:
        sys.stderr.write(f"  - {reason}\n")
    sys.stderr.write("Use it from now on? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")
