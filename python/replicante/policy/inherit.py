"""Who inherits from whom, and which stated values are alive where (S5, S7)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from .diagnostics import Span

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Stated(Generic[T_co]):
    """A value that one policy states."""

    policy: str
    value: T_co
    override: bool
    span: Span


@dataclass(frozen=True, slots=True)
class Lineage:
    """The inheritance relation over a set of policies without cycles."""

    parents: Mapping[str, tuple[str, ...]]

    def ancestry(self, policy: str) -> tuple[str, ...]:
        """Gives the policy and all its ancestors, ancestors first, parents in sorted order (D1)."""
        order: dict[str, None] = {}

        def visit(name: str) -> None:
            if name not in order:
                for parent in sorted(self.parents[name]):
                    visit(parent)
                order[name] = None

        visit(policy)
        return tuple(order)

    def ancestors(self, policy: str) -> tuple[str, ...]:
        """Gives all ancestors of a policy in the order of `ancestry`, without the policy itself."""
        return self.ancestry(policy)[:-1]

    def live(self, policy: str, own: Callable[[str], Sequence[Stated[T]]]) -> tuple[Stated[T], ...]:
        """Gives the stated values that count for a policy: an override forgets those of its ancestors.

        With several parents, what only one branch overrides stays alive through the other (S7).
        """
        return self._live_table(policy, own)[policy]

    def inherited(self, policy: str, own: Callable[[str], Sequence[Stated[T]]]) -> tuple[Stated[T], ...]:
        """Gives the stated values that reach a policy through its parents."""
        table = self._live_table(policy, own)
        return _distinct(stated for parent in sorted(self.parents[policy]) for stated in table[parent])

    def _live_table(
        self, policy: str, own: Callable[[str], Sequence[Stated[T]]]
    ) -> dict[str, tuple[Stated[T], ...]]:
        table: dict[str, tuple[Stated[T], ...]] = {}
        for name in self.ancestry(policy):
            mine = tuple(own(name))
            if not any(stated.override for stated in mine):
                mine = (*(stated for parent in sorted(self.parents[name]) for stated in table[parent]), *mine)
            table[name] = _distinct(mine)
        return table


def _distinct(stated: Iterable[Stated[T]]) -> tuple[Stated[T], ...]:
    seen: dict[int, Stated[T]] = {}
    for one in stated:
        seen.setdefault(id(one), one)
    return tuple(seen.values())
