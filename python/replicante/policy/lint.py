"""Findings about a policy that loads: what does nothing, is wide or has no name (policy-language §14)."""

from __future__ import annotations

from .checks.shadowed import check_shadowed
from .checks.written_code import check_written_code
from .diagnostics import Diagnostic, in_order
from .findings import Findings
from .model import Policy
from .statements import OwnStatements


def lint(policy: Policy) -> list[Diagnostic]:
    """Gives the warnings about the statements of one policy, in the order of its text.

    Args:
        policy: A loaded policy; what is told holds for the values that its variables are bound to. Its
            ancestors are linted by themselves.

    Returns:
        W120, W121, W125 and W126, and what loading warned of already.
    """
    origin = policy.origin
    findings = Findings(origin.source, origin.heading)
    own = origin.ancestry.own[policy.name]
    check_shadowed(origin.ancestry, findings)
    check_written_code(policy, findings)
    _check_labels(own, findings)
    _check_wildcards(own, findings)
    return in_order([*policy.warnings, *findings.all])


def _check_labels(own: OwnStatements, findings: Findings) -> None:
    """Tells which denies have no label: their id in events, and in a child's questions, is a number (T9)."""
    rules = [(one.rules.bound[0], one.span) for one in own.rules if one.rules.bound]
    for rule, span in (*rules, *((one.rule, one.span) for one in own.syscalls)):
        # The name part of a rule without label has a dot, which no label can have.
        if rule.effect == "deny" and "." in rule.id.partition("/")[2]:
            message = f"this deny has no label: events call it `{rule.id}`"
            findings.warning("W125", span, message, rule="T9", fix="add `as NAME`")


def _check_wildcards(own: OwnStatements, findings: Findings) -> None:
    """Tells which wildcards match nothing that the pattern without them doesn't match (F3, S8)."""
    for statement in own.rules:
        rules = statement.rules.bound
        hosts = {rule.pattern for rule in rules if rule.kind == "name"}
        told: set[str] = set()
        for rule in rules:
            shorter = _shorter(rule.pattern, downward=rule.downward, hosts=hosts)
            if shorter is None or rule.pattern in told:
                continue
            told.add(rule.pattern)
            message = f"`{rule.pattern}` matches what `{shorter}` matches"
            findings.warning("W126", statement.span, message, rule="S8", fix=f"write `{shorter}`")


def _shorter(pattern: str, *, downward: bool, hosts: set[str]) -> str | None:
    """Gives the pattern without a wildcard that adds nothing, or None."""
    if "/**/**" in pattern:
        return pattern.replace("/**/**", "/**")
    if downward and pattern.endswith("/**") and pattern != "/**":
        return pattern.removesuffix("/**")
    if downward and pattern.removeprefix("**.") in hosts - {pattern}:
        return pattern.removeprefix("**.")
    return None
