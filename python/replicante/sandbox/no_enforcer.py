"""Which statements of a policy nothing would enforce: P060, for this machine or a described one (E1)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from replicante._core import parse_json
from replicante.errors import ConfigError
from replicante.policy.diagnostics import Diagnostic, Span
from replicante.policy.model import Policy
from replicante.sandbox.doctor import MEANINGS, Finding
from replicante.sandbox.trial import Refusal

_RULE = re.compile(r"\brule ([a-z0-9-]+/[a-z0-9.-]+) ")

_KEYS_OF_STAND_IN: Mapping[str, frozenset[str]] = {
    "memory": frozenset({"memory", "swap"}),
    "processes": frozenset({"processes", "threads"}),
    "cpu": frozenset({"cpu"}),
    "io": frozenset({"io-read", "io-write"}),
}
"""Stand-ins that only a stated limit needs (L2, E3)."""


def refused_here(policy: Policy, refusal: Refusal) -> Diagnostic:
    """Gives what the launcher says about a policy as a finding, at the rule that it names."""
    named = _RULE.search(refusal.what)
    span = None if named is None else _span_of(policy, named.group(1))
    return _finding(policy, refusal.what, refusal.help, span)


def refused_there(policy: Policy, machine: Sequence[Finding]) -> list[Diagnostic]:
    """Gives a finding for each mechanism that a machine lacks and for which the policy takes no stand-in.

    What no release enforces yet is not told: the machine does not matter for it.
    """
    found: list[Diagnostic] = []
    for finding in machine:
        meaning = MEANINGS[finding["mechanism"]]
        if finding["present"]:
            continue
        needed = [name for name in meaning.stand_ins if _is_needed(name, policy)]
        missing = [name for name in needed if name not in policy.accept]
        if not missing and meaning.stand_ins:
            continue
        lacks = f"`{finding['mechanism']}` is missing ({finding['found']})"
        message = f"{lacks}: nothing would hold that {meaning.text}"
        accept = f"let the policy say `accept weaker {', '.join(missing)}`" if missing else ""
        fix = "; or there: ".join(filter(None, (accept, finding["help"])))
        found.append(_finding(policy, message, fix, None))
    return found


def described_machine(content: bytes, filename: str) -> list[Finding]:
    """Reads what `replicante doctor --json` said of a machine.

    Raises:
        ConfigError: it is no such text, or does not say of each mechanism whether it is there.
    """
    help = "write the output of `replicante doctor --json` on that machine into it"
    try:
        document = parse_json(content)
    except ValueError as error:
        raise ConfigError(f"{filename}: {error}", help=help) from error
    rows = document.get("guarantees") if isinstance(document, dict) else None
    machine: dict[str, Finding] = {}
    for row in rows if isinstance(rows, list) else ():
        if not isinstance(row, dict) or row.get("name") not in MEANINGS:
            continue
        name, degree = str(row["name"]), row.get("degree")
        if degree not in ("held", "weaker", "not held"):
            raise ConfigError(f"{filename}: `{name}` has no degree", help=help)
        machine[name] = {
            "mechanism": name,
            "present": degree == "held",
            "found": str(row.get("found") or "not there"),
            "help": str(row.get("help") or ""),
        }
    unknown = [name for name in MEANINGS if name not in machine]
    if unknown:
        raise ConfigError(f"{filename} says nothing of {', '.join(unknown)}", help=help)
    return list(machine.values())


def _is_needed(stand_in: str, policy: Policy) -> bool:
    keys = _KEYS_OF_STAND_IN.get(stand_in)
    return keys is None or not keys.isdisjoint(policy.limits.stated)


def _span_of(policy: Policy, rule_id: str) -> Span | None:
    own = policy.origin.ancestry.own[policy.name]
    places = {statement.id: statement.span for statement in own.rules}
    return places.get(rule_id)


def _finding(policy: Policy, message: str, fix: str, span: Span | None) -> Diagnostic:
    origin = policy.origin
    return Diagnostic("P060", message, span or origin.heading, origin.source, rule="E1", fix=fix or None)
