"""What a child may do plainly, and what an override must lift (S6, S7): P016, P050, P051, P052, P059."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from replicante._core import HostPattern

from ..assemble import HOME_ORDER, Ancestry
from ..environment import live_sets
from ..findings import Findings, before
from ..inherit import Stated
from ..limits import RESOURCE_KEYS, is_smaller, stated_limits, stated_resource
from ..model import Block, ByteRate, Limit
from ..statements import EnvironmentName, OwnStatements, RuleLimits, RuleStatement
from . import cover
from .names import did_you_mean

T = TypeVar("T")

_BLOCKS: tuple[Block, ...] = ("filesystem", "network", "mcp")


def check_inheritance(ancestry: Ancestry, findings: Findings) -> None:
    """Checks one policy against what it inherits; its ancestors are checked by themselves."""
    own = ancestry.own[ancestry.name]
    _check_resources(ancestry, own, findings)
    _check_block_limits(ancestry, own, findings)
    _check_secrets(ancestry, own, findings)
    _check_home(ancestry, own, findings)
    _check_workspace(ancestry, own, findings)
    _check_capabilities(ancestry, own, findings)
    _check_environment(ancestry, findings)
    _check_unique_names(ancestry, own, findings)
    cover.check_rules(ancestry, own, findings)
    cover.check_syscalls(ancestry, own, findings)


def _check_resources(ancestry: Ancestry, own: OwnStatements, findings: Findings) -> None:
    for key in RESOURCE_KEYS:
        for stated in stated_resource(own, key):
            inherited = _inherited(ancestry, lambda name, key=key: stated_resource(ancestry.own[name], key))
            _check_limit(key, stated, inherited, findings)


def _check_block_limits(ancestry: Ancestry, own: OwnStatements, findings: Findings) -> None:
    for block in _BLOCKS:
        for stated in own.block_limits.get(block, []):
            kind = stated.value.kind
            inherited = _inherited(
                ancestry, lambda name, block=block, kind=kind: stated_limits(ancestry.own[name], block, kind)
            )
            _check_limit(f"{block} {kind}", stated, inherited, findings)


def _inherited(ancestry: Ancestry, own: Callable[[str], Sequence[Stated[T]]]) -> tuple[Stated[T], ...]:
    return ancestry.lineage.inherited(ancestry.name, own)


def _check_limit(
    name: str,
    stated: Stated[int | ByteRate] | Stated[Limit],
    inherited: Sequence[Stated[int | ByteRate | Limit]],
    findings: Findings,
) -> None:
    if stated.override:
        if not inherited:
            findings.error(
                "P052",
                stated.span,
                f"no ancestor states a limit `{name}`",
                rule="S7",
                fix="leave out `override`",
            )
        return
    for other in inherited:
        if not is_smaller(stated.value, other.value):
            findings.error(
                "P051",
                stated.span,
                f"the limit `{name}` is not smaller than that of `{other.policy}`",
                rule="S6",
                fix="put `override` before it to replace the inherited limit",
                edit=before(stated.span, "override "),
            )
            return


def resolve_rule_limits(ancestry: Ancestry, findings: Findings) -> None:
    """Finds the rules that `override limits of` means; tells where there is none or more than one (S7)."""
    own = ancestry.own[ancestry.name]
    inherited = [
        statement
        for name in ancestry.lineage.ancestors(ancestry.name)
        for statement in ancestry.own[name].rules
        if statement.label is not None
        and statement.rules.bound
        and statement.rules.bound[0].effect != "tripwire"
    ]
    for index, change in enumerate(own.rule_limits):
        meant = [s for s in inherited if change.reference in (s.label, s.id)]
        if len(meant) == 1:
            own.rule_limits[index] = replace(change, rule_id=meant[0].id)
            _check_overridden_kinds(ancestry, own.rule_limits[index], meant[0], findings)
        elif meant:
            ids = " or ".join(f"`{statement.id}`" for statement in meant)
            message = f"several inherited rules are called `{change.reference}`"
            findings.error("P052", change.span, message, rule="S7", fix=f"write {ids}")
        else:
            labels = [statement.label for statement in inherited if statement.label is not None]
            word = did_you_mean(change.reference, labels)
            message = f"no inherited rule is called `{change.reference}`"
            findings.did_you_mean("P052", change.span, message, word, rule="S7")


def _check_overridden_kinds(
    ancestry: Ancestry, change: RuleLimits, statement: RuleStatement, findings: Findings
) -> None:
    kinds = {limit.kind for limit in statement.limits} | {
        limit.kind
        for name in ancestry.lineage.ancestors(ancestry.name)
        for other in ancestry.own[name].rule_limits
        if other.rule_id == statement.id
        for limit in other.limits
    }
    for limit in change.limits:
        if limit.kind not in kinds:
            message = f"the rule `{statement.id}` has no limit `{limit.kind}` to override"
            findings.error("P052", change.span, message, rule="S7")


def _check_secrets(ancestry: Ancestry, own: OwnStatements, findings: Findings) -> None:
    """A placeholder is replaced in requests that the proxy sees, so a rule must inspect that host (C4)."""
    inspected = [
        rule
        for each in ancestry.own.values()
        for statement in each.rules
        for rule in statement.rules.bound
        if rule.action == "connect" and rule.inspect and rule.effect in ("allow", "override_allow")
    ]
    for both, span in own.secrets:
        for host in both.bound.hosts or ():
            if not any(rule.kind == "any" or _covers_host(rule.pattern, host) for rule in inspected):
                findings.error(
                    "P055",
                    span,
                    f"no rule inspects requests to `{host}`, so the secret would never be put in",
                    rule="C4",
                    fix=f'add `allow connect "{host}" port 443 inspect tls`',
                )


def _covers_host(pattern: str, host: str) -> bool:
    return pattern == host or ("*" not in host and HostPattern(pattern).matches(host))


def _check_home(ancestry: Ancestry, own: OwnStatements, findings: Findings) -> None:
    if own.home is None:
        return
    inherited = ancestry.lineage.inherited(ancestry.name, lambda name: _one(ancestry.own[name].home))
    if own.home.override:
        if not inherited:
            findings.error(
                "P052", own.home.span, "no ancestor states `home`", rule="S7", fix="leave out `override`"
            )
        return
    for other in inherited:
        if HOME_ORDER.index(own.home.value) < HOME_ORDER.index(other.value):
            findings.error(
                "P051",
                own.home.span,
                f"`home {own.home.value}` is wider than `home {other.value}` of `{other.policy}`",
                rule="D1",
                fix="put `override` before it to replace the inherited home",
                edit=before(own.home.span, "override "),
            )
            return


def _check_workspace(ancestry: Ancestry, own: OwnStatements, findings: Findings) -> None:
    if own.workspace is None:
        return
    inherited = ancestry.lineage.inherited(ancestry.name, lambda name: _one(ancestry.own[name].workspace))
    overlays = [stated for stated in inherited if stated.value == "overlay"]
    if own.workspace.override:
        if not inherited:
            findings.error(
                "P052",
                own.workspace.span,
                "no ancestor states `workspace`",
                rule="F10",
                fix="leave out `override`",
            )
    elif own.workspace.value == "direct" and overlays:
        findings.error(
            "P051",
            own.workspace.span,
            f"`workspace direct` is wider than `workspace overlay` of `{overlays[0].policy}`",
            rule="F10",
            fix="put `override` before it to replace the inherited layer",
            edit=before(own.workspace.span, "override "),
        )


def _one(value: T | None) -> list[T]:
    return [] if value is None else [value]


def _check_capabilities(ancestry: Ancestry, own: OwnStatements, findings: Findings) -> None:
    dropped = {
        drop.name
        for name in ancestry.lineage.ancestors(ancestry.name)
        for drop in ancestry.own[name].capabilities_drop
    }
    reported: set[EnvironmentName] = set()
    for keep in own.capabilities_keep:
        if keep.override and keep.name not in dropped:
            findings.error(
                "P052",
                keep.span,
                f"no ancestor drops the capability `{keep.name}`",
                rule="C2",
                fix="leave out `override`",
            )
        if not keep.override and keep.name in dropped and keep not in reported:
            reported.add(keep)
            findings.error(
                "P050",
                keep.span,
                f"an ancestor drops the capability `{keep.name}`, so keeping it does nothing",
                rule="C2",
                fix=f"write `override keep {keep.name}`",
            )


def _check_environment(ancestry: Ancestry, findings: Findings) -> None:
    for name, rows in live_sets(ancestry.name, ancestry.lineage, ancestry.own).items():
        if len({statement.value.symbolic for _, statement in rows}) > 1:
            owners = " and ".join(f"`{owner}`" for owner, _ in rows)
            findings.error(
                "P059",
                findings.heading,
                f"{owners} set `{name}` to different values",
                rule="C3",
                fix=f"set `{name}` in this policy",
            )


def _check_unique_names(ancestry: Ancestry, own: OwnStatements, findings: Findings) -> None:
    older = [ancestry.own[name] for name in ancestry.lineage.ancestors(ancestry.name)]
    for both, span in own.alerts:
        if any(both.bound.name == other.bound.name for each in older for other, _ in each.alerts):
            findings.error("P016", span, f"an ancestor has the alert `{both.bound.name}` already", rule="A4")
    for both, span in own.tripwires:
        if any(both.bound.name == other.bound.name for each in older for other, _ in each.tripwires):
            findings.error(
                "P016", span, f"an ancestor has the tripwire `{both.bound.name}` already", rule="A4"
            )
    for what, names in (
        ("alert", [both.bound.name for each in older for both, _ in each.alerts]),
        ("tripwire", [both.bound.name for each in older for both, _ in each.tripwires]),
    ):
        for name in sorted({name for name in names if names.count(name) > 1}):
            findings.error("P016", findings.heading, f"two ancestors have the {what} `{name}`", rule="A4")
