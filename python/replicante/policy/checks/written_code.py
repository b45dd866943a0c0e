"""Names that an agent may write and then run, outside of its own trees: W121 of `policy lint` (F9)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..assemble import Ancestry
from ..diagnostics import Note, Span
from ..findings import Findings
from ..model import Policy, Rule
from .cover import starts_agree
from .instances import literal_start, path_instances, split_pattern

_OWN_TREES = ("workspace", "tmp", "cache")
"""Variables of the directories where running what one wrote is normal."""

_KERNEL_TREES = (("proc",), ("sys",), ("dev",))
_SHARED_MEMORY = ("dev", "shm")
"""The one tree below `/dev` that holds files; nothing else there, in `/proc` or in `/sys` can be executed."""


def check_written_code(policy: Policy, findings: Findings) -> None:
    """Tells where rules of the policy and of its ancestors meet so that written code may run (W121).

    A finding has a witness, a name for which the engine allows both; it stands at a rule of this policy.
    """
    engine = policy.compile()

    def may(action: str, path: str) -> bool:
        return engine.decide(action, path, made=True).effect != "deny"

    allows = [rule for rule in policy.rules if rule.effect in ("allow", "override_allow")]
    trees = _own_trees(policy)
    writes = [rule for rule in allows if rule.action in ("write", "create") and _may_hold(rule, trees)]
    runs = [rule for rule in allows if rule.action == "execute" and _may_hold(rule, trees)]
    names = _Names(policy.origin.ancestry)
    starts = {rule: literal_start(rule.pattern) for rule in writes}
    told: set[str] = set()
    for write in writes:
        for run in runs:
            mine = write if write.policy == policy.name else run
            if mine.policy != policy.name or mine.id in told or not starts_agree(starts[write], run):
                continue
            for narrow, path in _meeting(write, run):
                if _is_ordinary(path, trees) and may(write.action, path) and may("execute", path):
                    told.add(mine.id)
                    _tell(mine, write if mine is run else run, names.written(narrow), names.spans, findings)
                    break


def _tell(mine: Rule, other: Rule, pattern: str, spans: dict[str, Span], findings: Findings) -> None:
    message = f"what is written at `{pattern}` may be executed"
    notes: list[Note] = []
    if other.id != mine.id:
        message += f": see `{other.id}`"
        if other.policy == mine.policy:
            notes.append(Note("the other rule", spans[other.id], findings.source))
    fix = "take `execute`, or `write` and `create`, away; or move the tree into the workspace"
    findings.warning("W121", spans[mine.id], message, rule="F9", fix=fix, notes=notes)


class _Names:
    """How the rules of an ancestry are written, and where."""

    def __init__(self, ancestry: Ancestry) -> None:
        statements = [statement for own in ancestry.own.values() for statement in own.rules]
        self.spans = {statement.id: statement.span for statement in statements}
        self._patterns = {
            (bound.id, bound.pattern): symbolic.pattern
            for statement in statements
            for bound, symbolic in zip(statement.rules.bound, statement.rules.symbolic, strict=True)
        }

    def written(self, rule: Rule) -> str:
        """Gives the pattern of a rule with its variables as they are written."""
        return self._patterns[rule.id, rule.pattern]


def _own_trees(policy: Policy) -> list[tuple[str, ...]]:
    """Gives the segments of the trees where running is normal; a policy names them by their variables."""
    values = policy.bindings.variables
    return [tuple(split_pattern(values[name])) for name in _OWN_TREES if name in values]


def _may_hold(rule: Rule, trees: Iterable[tuple[str, ...]]) -> bool:
    """Tells whether a rule can match an ordinary name: not if its start leads into one tree already."""
    return not _lies_in(literal_start(rule.pattern), trees) and not _is_of_kernel(literal_start(rule.pattern))


def _is_ordinary(path: str, trees: Iterable[tuple[str, ...]]) -> bool:
    segments = tuple(split_pattern(path))
    return not _lies_in(segments, trees) and not _is_of_kernel(segments)


def _lies_in(segments: tuple[str, ...], trees: Iterable[tuple[str, ...]]) -> bool:
    return any(segments[: len(tree)] == tree for tree in trees)


def _is_of_kernel(segments: tuple[str, ...]) -> bool:
    return segments[:1] in _KERNEL_TREES and segments[:2] != _SHARED_MEMORY


def _meeting(one: Rule, other: Rule) -> Iterator[tuple[Rule, str]]:
    """Gives names that both rules may match, each with the rule for whose pattern it stands."""
    for rule, against in ((one, other), (other, one)):
        longest = len(split_pattern(against.pattern))
        yield from ((rule, path) for path in path_instances(rule.pattern, longest) or ())
