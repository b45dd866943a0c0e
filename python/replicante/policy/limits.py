"""Effective limits of a policy: smallest stated values, overrides and defaults (S5, S7, L1)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import cast

from .inherit import Lineage, Stated
from .model import (
    Block,
    ByteRate,
    ByteRateLimit,
    CountLimit,
    Limit,
    Limits,
    RateLimit,
    Resources,
    SizeLimit,
)
from .statements import OwnStatements, RuleStatement

_KIB, _MIB, _GIB = 1024, 1024**2, 1024**3
_SECOND = 1_000_000_000
_HOUR = 3600 * _SECOND

_DEFAULTS: Mapping[str, int] = {
    "memory": 4 * _GIB,
    "swap": 0,
    "disk": 8 * _GIB,
    "tmp": 1 * _GIB,
    "output": 100 * _MIB,
    "cpu": 2000,
    "processes": 256,
    "open-files": 4096,
    "cpu-time": 4 * _HOUR,
    "wall-time": 2 * _HOUR,
}
"""What holds if nobody states a value (L1); `threads` and `idle-time` follow from others."""

_THREADS_PER_PROCESS = 8

RESOURCE_KEYS = (*_DEFAULTS, "threads", "idle-time", "io-read", "io-write")
"""Every key of the `resources` block."""


def default_burst(count: int) -> int:
    """Gives the burst of a rate that states none: max(1, ⌈N/10⌉) (S9)."""
    return max(1, -(-count // 10))


def default_byte_burst(count: int) -> int:
    """Gives the burst in bytes of a byte rate that states none: max(64KiB, ⌈N/10⌉) (S9)."""
    return max(64 * _KIB, -(-count // 10))


def is_smaller(new: Limit | ByteRate | int, old: Limit | ByteRate | int) -> bool:
    """Tells whether a limit is smaller than another of its kind.

    A rate is smaller if it gives fewer tokens in the same time or a smaller burst (D9).
    """
    match new, old:
        case (RateLimit(), RateLimit()) | (ByteRateLimit(), ByteRateLimit()):
            return new.count * old.unit_ns < old.count * new.unit_ns or new.burst < old.burst
        case ByteRate(), ByteRate():
            return new.count * old.unit_ns < old.count * new.unit_ns
        case CountLimit(), CountLimit():
            return new.count < old.count
        case SizeLimit(), SizeLimit():
            return new.bytes < old.bytes
        case int(), int():
            return new < old
        case _:
            raise TypeError(f"{new!r} and {old!r} are limits of different kinds")


def block_limits(
    policy: str, block: Block, lineage: Lineage, own: Mapping[str, OwnStatements]
) -> tuple[Limit, ...]:
    """Gives the limits of a block: all rates that are alive, and the smallest of each other kind."""
    kinds = sorted({stated.value.kind for name in own for stated in own[name].block_limits.get(block, [])})
    found: list[Limit] = []
    for kind in kinds:
        live = lineage.live(policy, lambda name, kind=kind: stated_limits(own[name], block, kind))
        found.extend(_effective(stated.value for stated in live))
    return tuple(found)


def stated_limits(own: OwnStatements, block: Block, kind: str) -> Sequence[Stated[Limit]]:
    """Gives the limits of one kind that a policy itself states for a block."""
    return [stated for stated in own.block_limits.get(block, []) if stated.value.kind == kind]


def rule_limits(
    policy: str, owner: str, statement: RuleStatement, lineage: Lineage, own: Mapping[str, OwnStatements]
) -> tuple[Limit, ...]:
    """Gives the limits of a rule as they are for a policy: its own, or what `override limits of` put there.

    An override replaces the kinds of limits that it names; the others stay.
    """
    overridden = {
        limit.kind
        for name in own
        for change in own[name].rule_limits
        if change.rule_id == statement.id
        for limit in change.limits
    }
    if not overridden:
        return statement.limits
    found = [limit for limit in statement.limits if limit.kind not in overridden]
    for kind in sorted(overridden):

        def stated(name: str, kind: str = kind) -> Sequence[Stated[Limit]]:
            rows = [
                Stated(name, limit, override=True, span=change.span)
                for change in own[name].rule_limits
                if change.rule_id == statement.id
                for limit in change.limits
                if limit.kind == kind
            ]
            if name == owner:
                rows += [
                    Stated(name, limit, override=False, span=statement.span)
                    for limit in statement.limits
                    if limit.kind == kind
                ]
            return rows

        found.extend(_effective(one.value for one in lineage.live(policy, stated)))
    return tuple(found)


def effective_limits(policy: str, lineage: Lineage, own: Mapping[str, OwnStatements]) -> Limits:
    """Gives all limits of a policy but those of its rules, defaults included."""
    resources, stated = _resources(policy, lineage, own)
    return Limits(
        filesystem=block_limits(policy, "filesystem", lineage, own),
        network=block_limits(policy, "network", lineage, own),
        mcp=block_limits(policy, "mcp", lineage, own),
        resources=resources,
        stated=stated,
    )


def stated_resource(own: OwnStatements, key: str) -> Sequence[Stated[int | ByteRate]]:
    """Gives the value that a policy itself states for a resource, as a list of one or none."""
    stated = own.resources.get(key)
    return [] if stated is None else [stated]


def _resources(
    policy: str, lineage: Lineage, own: Mapping[str, OwnStatements]
) -> tuple[Resources, tuple[str, ...]]:
    values: dict[str, int | ByteRate | None] = {}
    for key in RESOURCE_KEYS:
        live = lineage.live(policy, lambda name, key=key: stated_resource(own[name], key))
        values[key] = _smallest([stated.value for stated in live])
    stated = tuple(sorted(key for key, value in values.items() if value is not None))
    for key, default in _DEFAULTS.items():
        if values[key] is None:
            values[key] = default
    if values["threads"] is None:
        values["threads"] = _THREADS_PER_PROCESS * cast("int", values["processes"])
    if values["idle-time"] is None:
        values["idle-time"] = values["wall-time"]
    fields = {key.replace("-", "_"): value for key, value in values.items()}
    return Resources.model_validate(fields), stated


def _smallest(values: Sequence[int | ByteRate]) -> int | ByteRate | None:
    smallest = None
    for value in values:
        if smallest is None or is_smaller(value, smallest):
            smallest = value
    return smallest


def _effective(limits: Iterable[Limit]) -> list[Limit]:
    """Gives what applies of live limits of one kind: every rate (D9), else the smallest."""
    found: list[Limit] = []
    for limit in limits:
        if isinstance(limit, RateLimit | ByteRateLimit):
            if limit not in found:
                found.append(limit)
        elif not found or is_smaller(limit, found[0]):
            found = [limit]
    return sorted(found, key=lambda limit: limit.model_dump_json())
