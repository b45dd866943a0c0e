"""Rules that another rule of the same policy makes needless: W120 of `policy lint`.

Leaving out every rule that is named here changes no decision. The finding is sound and not complete: where
patterns cannot be compared by instances (`instances`), nothing is said.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from ..assemble import Ancestry
from ..diagnostics import Note, Span
from ..findings import Findings
from ..model import FILE_ACTIONS, Rule, SyscallRule
from ..statements import RuleStatement
from .instances import host_instances, literal_start, path_instances, subject_instance
from .probe import Probe

_GRANTING = frozenset({"allow", "override_allow"})
_PATH_ACTIONS = frozenset({*FILE_ACTIONS, "connect-unix"})
_HOST_ACTIONS = frozenset({"connect", "resolve"})
_SOME_PORT = 443

_SHADOWED_BY = {
    "allow": frozenset({"allow", "override_allow", "deny", "never", "tripwire"}),
    "override_allow": frozenset({"override_allow", "deny", "never", "tripwire"}),
    "hold": frozenset({"hold", "deny", "never"}),
    "deny": frozenset({"deny", "never"}),
    "never": frozenset({"never"}),
}
"""Effect -> the effects that leave nothing of it where they match (S2, S4, S7)."""

_PLAIN = {
    "effect": "deny",
    "ports": None,
    "protocol": None,
    "classes": (),
    "methods": (),
    "url_paths": (),
    "expose": (),
    "condition": None,
    "limits": (),
    **dict.fromkeys(("inspect", "hidden", "existing", "inert", "publish"), False),
}
"""What a rule becomes so that an engine refuses all that its pattern matches."""


def check_shadowed(ancestry: Ancestry, findings: Findings) -> None:
    """Tells which rules of a policy say nothing that another of its rules doesn't say (W120)."""
    own = ancestry.own[ancestry.name]
    candidates = [_Candidate(ancestry, statement) for statement in own.rules if statement.rules.bound]
    kept = _Kept(candidates)
    for candidate in reversed(candidates):
        found = _shadowing(candidate, kept)
        if found:
            kept.drop(candidate)
            shadows = [(one.first, one.statement.span) for one in found]
            _tell(candidate.first, candidate.statement.span, shadows, findings)
    calls = list(own.syscalls)
    for statement in reversed(own.syscalls):
        shadow = next(
            (one for one in calls if one is not statement and _calls_shadowed(statement.rule, one.rule)), None
        )
        if shadow is not None:
            calls.remove(statement)
            _tell(statement.rule, statement.span, [(shadow.rule, shadow.span)], findings)


def _tell(
    rule: Rule | SyscallRule,
    span: Span,
    shadows: Sequence[tuple[Rule | SyscallRule, Span]],
    findings: Findings,
) -> None:
    ids = ", ".join(f"`{shadow.id}`" for shadow, _ in shadows)
    if rule.effect in _GRANTING and shadows[0][0].effect not in _GRANTING:
        message = f"all of this is refused by {ids}, and a deny wins wherever it stands"
    else:
        message = f"all of this stands in {ids} already"
    notes = [Note("it stands here", place, findings.source) for _, place in shadows]
    findings.warning("W120", span, message, rule="S2", fix="leave the rule out", notes=notes)


@dataclass(slots=True, eq=False)
class _Candidate:
    """A statement that may shadow others; its engine is built when it is first asked."""

    ancestry: Ancestry
    statement: RuleStatement
    _probe: Probe | None = field(default=None)

    @property
    def first(self) -> Rule:
        return self.statement.rules.bound[0]

    def covers(self, rule: Rule) -> bool:
        """Tells whether its patterns surely match all that the pattern of a rule matches."""
        mine = [entry for entry in self.statement.rules.bound if entry.action == rule.action]
        if rule.action == "listen":
            return bool(mine)
        if any(
            (entry.pattern, entry.kind) == (rule.pattern, rule.kind) and _closes(entry, rule)
            for entry in mine
        ):
            return True
        if rule.action == "roots":
            return False
        if rule.kind == "net":
            return any(_is_within(rule.pattern, entry.pattern) for entry in mine if entry.kind == "net")
        if self._probe is None:
            # Addresses are compared above: a name is not refused by a rule for an address it may have.
            plain = [entry for entry in self.statement.rules.bound if entry.kind != "net"]
            self._probe = Probe(self.ancestry, [entry.model_copy(update=_PLAIN) for entry in plain])
        return _is_refused(rule, self._probe)


class _Kept:
    """The statements that were not found needless, by action and by the segments before a wildcard.

    A pattern that covers another one begins with no more literal segments than it, and with the same.
    """

    def __init__(self, candidates: Iterable[_Candidate]) -> None:
        self._by_start: dict[tuple[str, tuple[str, ...]], dict[_Candidate, None]] = {}
        for candidate in candidates:
            for entry in candidate.statement.rules.bound:
                self._by_start.setdefault((entry.action, _start(entry)), {})[candidate] = None

    def drop(self, candidate: _Candidate) -> None:
        for entry in candidate.statement.rules.bound:
            self._by_start[entry.action, _start(entry)].pop(candidate, None)

    def around(self, rule: Rule) -> Iterator[_Candidate]:
        """Gives those that may cover a rule."""
        start = _start(rule)
        for length in range(len(start) + 1):
            yield from self._by_start.get((rule.action, start[:length]), ())


def _start(rule: Rule) -> tuple[str, ...]:
    return literal_start(rule.pattern) if rule.action in _PATH_ACTIONS else ()


def _shadowing(candidate: _Candidate, kept: _Kept) -> list[_Candidate]:
    """Gives the statements that together leave nothing of one, each of its entries to one; else nothing."""
    first = candidate.first
    if candidate.statement.limits or first.effect not in _SHADOWED_BY:
        return []  # a limit counts, whoever else allows the same (S9)
    found: dict[_Candidate, None] = {}
    for entry in candidate.statement.rules.bound:
        around = (other for other in kept.around(entry) if other is not candidate)
        cover = next(
            (other for other in around if _clauses_cover(other.first, first) and other.covers(entry)), None
        )
        if cover is None:
            return []
        found[cover] = None
    return list(found)


def _clauses_cover(wide: Rule, narrow: Rule) -> bool:
    """Tells whether the effect and clauses of a rule leave nothing of another where both patterns match."""
    if wide.effect not in _SHADOWED_BY[narrow.effect]:
        return False
    if wide.effect in _GRANTING:
        more = (
            set(narrow.classes) <= set(wide.classes)
            and narrow.inspect == wide.inspect
            and narrow.expose == wide.expose
            and (wide.publish or not narrow.publish)
        )
    elif narrow.effect in _GRANTING:
        more = True
    else:
        more = narrow.hidden == wide.hidden and (narrow.inert or not wide.inert)
    return (
        more
        and _ports_cover(wide.ports, narrow.ports)
        and wide.protocol in (None, narrow.protocol)
        and (not wide.methods or (bool(narrow.methods) and set(narrow.methods) <= set(wide.methods)))
        and wide.url_paths in ((), narrow.url_paths)
        and wide.condition in (None, narrow.condition)
        and (narrow.existing or not wide.existing)
    )


def _ports_cover(
    wide: tuple[tuple[int, int], ...] | None, narrow: tuple[tuple[int, int], ...] | None
) -> bool:
    if wide is None:
        return True
    return narrow is not None and all(
        any(low <= first and last <= high for low, high in wide) for first, last in narrow
    )


def _closes(wide: Rule, narrow: Rule) -> bool:
    return wide.downward or not narrow.downward


def _is_within(narrow: str, wide: str) -> bool:
    one, other = ipaddress.ip_network(narrow), ipaddress.ip_network(wide)
    return one.version == other.version and one.subnet_of(other)  # pyright: ignore[reportArgumentType]


def _is_refused(rule: Rule, probe: Probe) -> bool:
    """Tells whether an engine refuses everything that a rule matches, what it closes over included (S8)."""
    if rule.action in _PATH_ACTIONS:
        pattern = f"{rule.pattern.rstrip('/')}/**" if rule.downward else rule.pattern
        instances = path_instances(pattern, probe.longest_path)
        return instances is not None and all(probe.refuses(rule.action, path) for path in instances)
    if rule.action in _HOST_ACTIONS:
        port = _SOME_PORT if rule.action == "connect" else None
        if rule.kind != "name":
            return False  # `any` says all of what another rule says only if that one is `any`
        names = _names(rule, probe.longest_host)
        return all(probe.refuses(rule.action, name, port) for name in names)
    subject = subject_instance(rule.pattern)
    return subject is not None and probe.refuses(rule.action, subject)


def _names(rule: Rule, longest: int) -> Iterator[str]:
    yield from host_instances(rule.pattern, longest)
    if rule.downward:
        yield from host_instances(f"**.{rule.pattern.lstrip('*').lstrip('.')}", longest)


def _calls_shadowed(narrow: SyscallRule, wide: SyscallRule) -> bool:
    is_same_answer = narrow.effect in _GRANTING or (narrow.errno, narrow.kill) == (wide.errno, wide.kill)
    return (
        narrow.effect in _SHADOWED_BY
        and wide.effect in _SHADOWED_BY[narrow.effect]
        and is_same_answer
        and set(narrow.names) <= set(wide.names)
    )
