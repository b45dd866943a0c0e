"""Answers to a person who asks why: the text and the JSON of `policy explain` (§14)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from replicante._core import Decision

_REASONS = {
    "allow-rule": "an allow rule matches",
    "hold-rule": "a hold rule matches (S3)",
    "deny-rule": "a deny rule matches (S2)",
    "never": "a never rule matches (S4)",
    "tripwire": "a tripwire matches (A3)",
    "no-allow-rule": "no allow rule matches (S1)",
    "limit": "a limit is spent (S9)",
    "undecidable": "the request cannot be decided, so it is denied (S10)",
    "definition-changed": "the tool's definition changed (M5)",
}


def reason_text(decision: Decision) -> str:
    """Gives the reason of a decision in words, with the rule that decided."""
    text = _REASONS[decision.reason]
    return text if decision.rule is None else f"{text}: {decision.rule.id}"
