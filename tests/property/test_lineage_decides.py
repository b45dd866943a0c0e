"""Over a diamond of policies, the engine decides by the formula of S7: names, overrides, nevers, `existing`.

The formula is evaluated naively, rule by rule and name by name (F5); patterns by the table of F3.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hypothesis import event, given, settings
from hypothesis import strategies as st

from replicante import Policy, PolicyError, parse_policy

Path = tuple[str, ...]

PARENTS = {"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c")}
"""A diamond: what b lifts of a, c does not lift, and the other way round (S7)."""

ANCESTORS = {"a": set[str](), "b": {"a"}, "c": {"a"}, "d": {"a", "b", "c"}}
RESTRICTING = ("deny", "hold", "never allow")
ACTIONS = ("read", "write", "create")
DEAD = {"P050", "P052"}
"""A rule that does nothing is an error of its own; it is left out, and the rest is asked."""


@dataclass(frozen=True)
class Written:
    policy: str
    effect: str
    action: str
    pattern: Path
    exactly: bool
    existing: bool

    @property
    def restricts(self) -> bool:
        return self.effect in RESTRICTING

    def text(self) -> str:
        clauses = [f'{self.effect} {self.action} "/{"/".join(self.pattern)}"']
        if self.restricts:
            clauses += ["exactly"] * self.exactly + ["existing"] * self.existing
        return " ".join(clauses)


def in_segments(pattern: Path, path: Path) -> bool:
    if not pattern:
        return not path
    if pattern[0] == "**":
        return any(in_segments(pattern[1:], path[skip:]) for skip in range(len(path) + 1))
    return bool(path) and in_segment(pattern[0], path[0]) and in_segments(pattern[1:], path[1:])


def in_segment(pattern: str, name: str) -> bool:
    if "*" not in pattern:
        return pattern == name
    before, after = pattern.split("*")
    return len(name) >= max(1, len(before) + len(after)) and name.startswith(before) and name.endswith(after)


def matches(rule: Written, action: str, name: Path, *, made: bool) -> bool:
    if rule.action != action:
        return False
    if not rule.restricts:
        return in_segments(rule.pattern, name)
    if rule.existing and (made or action == "create"):
        return False
    ends = [len(name)] if rule.exactly else range(len(name) + 1)
    return any(in_segments(rule.pattern, name[:end]) for end in ends)


def outcome(rules: Iterable[Written], action: str, resolved: Path, literal: Path, *, made: bool) -> str:
    """The formula after S7, for the last policy of the diamond."""
    rules = list(rules)
    names = (resolved, literal)

    def is_restricted(effect: str) -> bool:
        return any(
            rule.effect == effect
            and matches(rule, action, name, made=made)
            and not any(
                other.effect == "override allow"
                and rule.policy in ANCESTORS[other.policy]
                and matches(other, action, name, made=made)
                for other in rules
            )
            for rule in rules
            for name in names
        )

    if any(
        rule.effect == "never allow" and matches(rule, action, name, made=made)
        for rule in rules
        for name in names
    ):
        return "deny"
    if is_restricted("deny"):
        return "deny"
    if not any(not rule.restricts and matches(rule, action, resolved, made=made) for rule in rules):
        return "deny"
    return "hold" if is_restricted("hold") else "allow"


def text_of(rules: list[Written]) -> str:
    lines = ["language 1"]
    for name, parents in PARENTS.items():
        extends = f" extends {', '.join(parents)}" if parents else ""
        lines.append(f"policy {name}{extends} {{")
        mine = [rule for rule in rules if rule.policy == name]
        lines += [rule.text() for rule in mine if rule.effect == "never allow"]
        lines += ["filesystem {", *(rule.text() for rule in mine if rule.effect != "never allow"), "}", "}"]
    return "\n".join(lines)


def loaded(rules: list[Written]) -> tuple[Policy, list[Written]]:
    """Loads the policy without those of its rules that are refused because they do nothing."""
    while True:
        text = text_of(rules)
        try:
            return parse_policy(text, name="d", variables={}), rules
        except PolicyError as refused:
            assert {found.code for found in refused.diagnostics} <= DEAD, text
            dead = {text.splitlines()[found.span.line - 1] for found in refused.diagnostics}
            rest = [rule for rule in rules if rule.text() not in dead]
            assert len(rest) < len(rules)
            rules = rest


SEGMENTS = ("a", "ab")
PATHS = st.lists(st.sampled_from(SEGMENTS), max_size=2).map(tuple)


def rules_of(action: str) -> st.SearchStrategy[tuple[str, list[Written]]]:
    """Rules of one action, so that they meet: half of the time below an allow of everything."""
    effects = ["allow", "deny", "deny", "override allow", "override allow", "never allow"]
    rule = st.builds(
        Written,
        policy=st.sampled_from(sorted(PARENTS)),
        effect=st.sampled_from(effects if action == "read" else [*effects, "hold", "hold"]),
        action=st.just(action),
        pattern=st.lists(st.sampled_from([*SEGMENTS, "*", "**", "a*", "*b"]), min_size=1, max_size=2).map(
            tuple
        ),
        exactly=st.booleans(),
        existing=st.booleans(),
    )
    everything = Written("a", "allow", action, ("**",), exactly=False, existing=False)
    granted = st.sampled_from([[], [everything]])
    rules = st.builds(list[Written].__add__, granted, st.lists(rule, min_size=2, max_size=8))
    return st.tuples(st.just(action), rules)


@settings(deadline=None, max_examples=400)
@given(
    st.sampled_from(ACTIONS).flatmap(rules_of),
    st.lists(st.tuples(PATHS, PATHS), min_size=1, max_size=12),
)
def test_every_decision_is_that_of_the_formula(
    of_one_action: tuple[str, list[Written]], names: list[tuple[Path, Path]]
) -> None:
    action, rules = of_one_action
    policy, kept = loaded(rules)
    engine = policy.compile()
    for resolved, literal in names:
        for made in (False, True):
            path, via = ("/" + "/".join(name) for name in (resolved, literal))
            expected = outcome(kept, action, resolved, literal, made=made)
            event(expected)
            decided = engine.decide(action, path, via=[via], made=made).effect
            assert decided == expected, (action, path, via, made, text_of(kept))
