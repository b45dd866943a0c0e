"""Whether a policy is no wider than the trusted one (R2), without the proof of section 13.

Until the proof is there, "no wider" is: the trust digest is the trusted one, or the policy extends the
trusted policy and adds only deny, hold, never, tripwires, alerts, tests and smaller limits. All else is
asked.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .model import (
    ByteRate,
    ByteRateLimit,
    CountLimit,
    Limit,
    Policy,
    RateLimit,
    Resources,
    SizeLimit,
    SyscallRule,
)

_RESTRICTING = frozenset({"deny", "hold", "never", "tripwire"})


@dataclass(frozen=True, slots=True)
class Wideness:
    """The answer: no wider, or the reasons why a person is asked, each one line."""

    no_wider: bool
    reasons: tuple[str, ...]


def compare(new: Policy, trusted_digest: str) -> Wideness:
    """Tells whether a policy is surely no wider than the policy with the trusted digest.

    Args:
        new: The policy that wants to be used.
        trusted_digest: Trust digest (D2) of the policy that the operator trusts.

    Returns:
        `no_wider` is sound: it is never true for a policy that permits more. It may be false for one that
        does not.
    """
    if new.trust_digest == trusted_digest:
        return Wideness(no_wider=True, reasons=())
    for ancestor in new.ancestors:
        if ancestor.trust_digest == trusted_digest:
            reasons = tuple(_widenings(new.unbound, ancestor.unbound))
            return Wideness(no_wider=not reasons, reasons=reasons)
    return Wideness(no_wider=False, reasons=("it does not extend the trusted policy",))


def _widenings(new: Policy, trusted: Policy) -> Iterable[str]:
    yield from _rule_widenings(new, trusted)
    yield from _syscall_widenings(new, trusted)
    yield from _limit_widenings(new, trusted)
    if new.home != trusted.home:
        yield f"it changes `home {trusted.home}` to `home {new.home}`"
    if new.workspace != trusted.workspace:
        yield f"it changes `workspace {trusted.workspace}` to `workspace {new.workspace}`"
    yield from (f"it accepts weaker `{name}`" for name in sorted(set(new.accept) - set(trusted.accept)))
    if new.environment != trusted.environment:
        yield "it changes what of the environment the agent gets"
    yield from (
        f"it keeps the capability {name}"
        for name in sorted(set(new.capabilities) - set(trusted.capabilities))
    )
    for kind, before, after in (
        ("alert", trusted.alerts, new.alerts),
        ("tripwire", trusted.tripwires, new.tripwires),
        ("test", trusted.tests, new.tests),
        ("pin", trusted.pins, new.pins),
    ):
        if not set(before) <= set(after):
            yield f"it removes or changes a {kind}"


def _rule_widenings(new: Policy, trusted: Policy) -> Iterable[str]:
    before, after = set(trusted.rules), set(new.rules)
    added = {rule.id for rule in after - before if rule.effect not in _RESTRICTING}
    yield from (f"it adds or changes the rule {rule_id}" for rule_id in sorted(added))
    lost = {rule.id for rule in before - after if rule.effect in _RESTRICTING}
    yield from (f"it removes the rule {rule_id}" for rule_id in sorted(lost))


def _syscall_widenings(new: Policy, trusted: Policy) -> Iterable[str]:
    def restricting(rule: SyscallRule) -> bool:
        return rule.effect in _RESTRICTING

    def meaning(rule: SyscallRule) -> tuple[str, tuple[str, ...]]:
        return (rule.effect, rule.names)

    granted = {meaning(rule) for rule in trusted.syscalls if not restricting(rule)}
    for rule in new.syscalls:
        if not restricting(rule) and meaning(rule) not in granted:
            yield f"it allows system calls by {rule.id}"
    kept = {(meaning(rule), rule.errno, rule.kill) for rule in new.syscalls}
    if any(
        (meaning(rule), rule.errno, rule.kill) not in kept for rule in trusted.syscalls if restricting(rule)
    ):
        yield "it removes a denied system call"


def _limit_widenings(new: Policy, trusted: Policy) -> Iterable[str]:
    for block, before, after in (
        ("filesystem", trusted.limits.filesystem, new.limits.filesystem),
        ("network", trusted.limits.network, new.limits.network),
        ("mcp", trusted.limits.mcp, new.limits.mcp),
    ):
        if not all(any(_is_at_most(limit, old) for limit in after) for old in before):
            yield f"it raises a limit of the {block} block"
    for key in Resources.model_fields:
        if not _resource_is_at_most(
            getattr(new.limits.resources, key), getattr(trusted.limits.resources, key)
        ):
            yield f"it raises `{key.replace('_', '-')}`"


def _is_at_most(new: Limit, old: Limit) -> bool:
    if new.kind != old.kind:
        return False
    match new, old:
        case (RateLimit(), RateLimit()) | (ByteRateLimit(), ByteRateLimit()):
            return new.count * old.unit_ns <= old.count * new.unit_ns and new.burst <= old.burst
        case CountLimit(), CountLimit():
            return new.count <= old.count
        case SizeLimit(), SizeLimit():
            return new.bytes <= old.bytes
        case _:
            return False


def _resource_is_at_most(new: int | ByteRate | None, old: int | ByteRate | None) -> bool:
    if old is None:
        return True
    if new is None:
        return False
    if isinstance(new, ByteRate) and isinstance(old, ByteRate):
        return new.count * old.unit_ns <= old.count * new.unit_ns
    return isinstance(new, int) and isinstance(old, int) and new <= old
