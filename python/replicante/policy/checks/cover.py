"""Rules that do nothing: allows that inherited denies cover (P050), overrides that lift nothing (P052).

Both findings are sound and neither is complete: where patterns cannot be compared by instances
(`instances`), nothing is said.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from ..assemble import Ancestry
from ..findings import Findings, before
from ..model import FILE_ACTIONS, Rule
from ..statements import OwnStatements, RuleStatement
from .instances import (
    LABEL,
    host_instances,
    is_literal,
    literal_start,
    path_instances,
    subject_instance,
    unescape,
)
from .probe import Probe

_REFUSING = frozenset({"deny", "never", "tripwire"})
_LIFTED = frozenset({"deny", "hold"})
_UNLIFTABLE = frozenset({"never", "tripwire"})
_PATH_ACTIONS = frozenset({*FILE_ACTIONS, "connect-unix"})
_HOST_ACTIONS = frozenset({"connect", "resolve"})
_SOME_PORT = 443
_SOME_ADDRESS = "1.1.1.1"


def check_rules(ancestry: Ancestry, own: OwnStatements, findings: Findings) -> None:
    """Checks each allow and each override of a policy against the rules of its ancestors."""
    inherited = [
        rule
        for name in ancestry.lineage.ancestors(ancestry.name)
        for statement in ancestry.own[name].rules
        for rule in statement.rules.bound
    ]
    allows = [statement for statement in own.rules if _effect(statement) == "allow"]
    denies = [rule for rule in inherited if rule.effect in _REFUSING and not rule.existing]
    if allows and denies:
        lifts = [rule for rule in inherited if rule.effect == "override_allow"]
        probe = Probe(ancestry, [*denies, *lifts])
        for statement in allows:
            if all(_is_covered(rule, probe) for rule in statement.rules.bound):
                _tell_covered(statement, ancestry, [*denies, *lifts], findings)
    overrides = [statement for statement in own.rules if _effect(statement) == "override_allow"]
    if not overrides:
        return
    restrictions = _as_denies(inherited)
    probe = Probe(ancestry, restrictions)
    for statement in overrides:
        if not any(_may_lift(rule, restrictions, probe) for rule in statement.rules.bound):
            findings.error(
                "P052",
                statement.span,
                "no inherited deny or hold meets this override",
                rule="S7",
                fix="leave out `override`",
            )


def _tell_covered(
    statement: RuleStatement, ancestry: Ancestry, inherited: Iterable[Rule], findings: Findings
) -> None:
    for_good = Probe(ancestry, [rule for rule in inherited if rule.effect in _UNLIFTABLE])
    if all(_is_covered(rule, for_good) for rule in statement.rules.bound):
        message = "an inherited `never` or tripwire covers this allow wholly, and nothing lifts it"
        findings.error("P050", statement.span, message, rule="S4", fix="leave the rule out")
        return
    findings.error(
        "P050",
        statement.span,
        "inherited denies cover this allow wholly, so it does nothing",
        rule="S6",
        fix="put `override` before it to lift them",
        edit=before(statement.keyword, "override "),
    )


def check_syscalls(ancestry: Ancestry, own: OwnStatements, findings: Findings) -> None:
    """Checks the allows and overrides of the `syscalls` block in the same way; here sets decide."""
    inherited = [
        statement.rule
        for name in ancestry.lineage.ancestors(ancestry.name)
        for statement in ancestry.own[name].syscalls
    ]
    denied = {call for rule in inherited if rule.effect == "deny" for call in rule.names}
    lifted = {call for rule in inherited if rule.effect == "override_allow" for call in rule.names}
    for statement in own.syscalls:
        names = set(statement.rule.names)
        if statement.rule.effect == "allow" and names <= denied - lifted:
            findings.error(
                "P050",
                statement.span,
                "inherited denies cover this allow wholly, so it does nothing",
                rule="S6",
                fix="put `override` before it to lift them",
                edit=before(statement.keyword, "override "),
            )
        if statement.rule.effect == "override_allow" and not names & denied:
            findings.error(
                "P052",
                statement.span,
                "no inherited deny meets this override",
                rule="S7",
                fix="leave out `override`",
            )


def _effect(statement: RuleStatement) -> str:
    return statement.rules.bound[0].effect if statement.rules.bound else ""


def _is_covered(rule: Rule, probe: Probe) -> bool:
    """Tells whether every request of a rule is surely refused."""
    if rule.action in _PATH_ACTIONS:
        instances = path_instances(rule.pattern, probe.longest_path)
        return instances is not None and all(probe.refuses(rule.action, path) for path in instances)
    if rule.action in _HOST_ACTIONS:
        return _host_is_covered(rule, probe)
    if rule.action == "listen" or rule.action == "roots":
        return False
    subject = subject_instance(rule.pattern)
    return subject is not None and probe.refuses(rule.action, subject)


def _host_is_covered(rule: Rule, probe: Probe) -> bool:
    port = _SOME_PORT if rule.action == "connect" else None
    if rule.kind == "name":
        return all(
            probe.refuses(rule.action, host, port)
            for host in host_instances(rule.pattern, probe.longest_host)
        )
    if rule.kind == "any":
        return all(probe.refuses(rule.action, host, port) for host in (f"{LABEL}.example", _SOME_ADDRESS))
    if rule.kind == "net" and "/" not in rule.pattern:
        return probe.refuses(rule.action, rule.pattern, port)
    return False


def _as_denies(rules: Iterable[Rule]) -> list[Rule]:
    """Gives what an override can lift, each as a plain deny, so that an engine refuses what it meets."""
    return [
        rule.model_copy(update={"effect": "deny", "existing": False, "hidden": False, "inert": False})
        for rule in rules
        if rule.effect in _LIFTED
    ]


def _may_lift(mine: Rule, restrictions: list[Rule], probe: Probe) -> bool:
    """Tells whether some request may match an override and a restriction: false only if surely not."""
    theirs = [rule for rule in restrictions if rule.action == mine.action]
    if mine.action in _PATH_ACTIONS and is_literal(mine.pattern):
        return probe.refuses(mine.action, unescape(mine.pattern))
    if mine.action in _PATH_ACTIONS:
        start = literal_start(mine.pattern)
        return any(starts_agree(start, rule) for rule in theirs)
    if mine.action in _HOST_ACTIONS:
        return any(_hosts_may_meet(mine, rule) for rule in theirs)
    return bool(theirs)


def starts_agree(start: tuple[str, ...], rule: Rule) -> bool:
    """Tells whether a name with these first segments may match a rule: false only if surely not."""
    other = literal_start(rule.pattern)
    shared = min(len(start), len(other))
    return start[:shared] == other[:shared]


def _hosts_may_meet(mine: Rule, theirs: Rule) -> bool:
    match mine.kind, theirs.kind:
        case "net", "net":
            one, other = ipaddress.ip_network(mine.pattern), ipaddress.ip_network(theirs.pattern)
            return one.version == other.version and one.overlaps(other)  # pyright: ignore[reportArgumentType]
        case "name", "name":
            return _suffix(mine.pattern).endswith(_suffix(theirs.pattern)) or _suffix(
                theirs.pattern
            ).endswith(_suffix(mine.pattern))
        case _:
            return True


def _suffix(pattern: str) -> str:
    return "." + pattern.lstrip("*").lstrip(".")
