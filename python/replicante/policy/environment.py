"""What of environment and capabilities is kept, after `drop` and overrides (C2, C3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from .inherit import Lineage
from .model import Environment, Secret
from .statements import EnvironmentName, OwnStatements, SetVariable


def effective_capabilities(lineage: Lineage, own: Mapping[str, OwnStatements]) -> tuple[str, ...]:
    """Gives the kept capabilities, sorted: dropped by nobody but ancestors of who keeps by override."""
    drops = [(policy, drop.name) for policy, each in own.items() for drop in each.capabilities_drop]
    kept: set[str] = set()
    for policy, each in own.items():
        for keep in each.capabilities_keep:
            lifted = set(lineage.ancestors(policy)) if keep.override else set[str]()
            if not any(name == keep.name and dropper not in lifted for dropper, name in drops):
                kept.add(keep.name)
    return tuple(sorted(kept))


def effective_environment(
    policy: str, lineage: Lineage, own: Mapping[str, OwnStatements], form: Literal["bound", "symbolic"]
) -> Environment:
    """Gives the environment of a policy.

    A `drop` wins over every `keep` and `set` but those of policies that extend its own. A dropped name takes
    a kept prefix that covers it with it: the form of the environment has no exceptions, and less is safe.
    """
    keep = {
        name.name
        for owner, each in own.items()
        for name in each.environment_keep
        if not _is_dropped(owner, name.name, lineage, own)
    }
    chosen = live_sets(policy, lineage, own)
    values = {
        name: rows[0][1].value.bound if form == "bound" else rows[0][1].value.symbolic
        for name, rows in chosen.items()
    }
    secrets: dict[str, Secret] = {}
    for each in own.values():
        for secret, _ in each.secrets:
            one = secret.bound if form == "bound" else secret.symbolic
            secrets[one.name] = one
    return Environment(
        keep=tuple(sorted(keep)),
        set=dict(sorted(values.items())),
        secrets=tuple(secrets[name] for name in sorted(secrets)),
    )


def live_sets(
    policy: str, lineage: Lineage, own: Mapping[str, OwnStatements]
) -> dict[str, list[tuple[str, SetVariable]]]:
    """Gives each set variable with the statements that count: more than one value is a conflict (P059).

    A child's `set` wins over its ancestor's; what remains comes from policies of which none extends another.
    """
    taking_part = lineage.ancestry(policy)
    found: dict[str, list[tuple[str, SetVariable]]] = {}
    for owner in taking_part:
        for statement in own[owner].environment_set:
            if not _is_dropped(owner, statement.name, lineage, own):
                found.setdefault(statement.name, []).append((owner, statement))
    return {name: _youngest(rows, lineage) for name, rows in found.items()}


def _youngest(rows: list[tuple[str, SetVariable]], lineage: Lineage) -> list[tuple[str, SetVariable]]:
    owners = {owner for owner, _ in rows}
    older = {ancestor for owner in owners for ancestor in lineage.ancestors(owner)}
    return [(owner, statement) for owner, statement in rows if owner not in older]


def _is_dropped(owner: str, name: str, lineage: Lineage, own: Mapping[str, OwnStatements]) -> bool:
    older = set(lineage.ancestors(owner))
    return any(
        _covers(drop, name)
        for dropper, each in own.items()
        if dropper not in older
        for drop in each.environment_drop
    )


def _covers(drop: EnvironmentName, name: str) -> bool:
    """Tells whether two names or prefixes have a variable in common."""
    if drop.name.endswith("*"):
        prefix = drop.name[:-1]
        return name.startswith(prefix) or (name.endswith("*") and prefix.startswith(name[:-1]))
    return name == drop.name or (name.endswith("*") and drop.name.startswith(name[:-1]))
