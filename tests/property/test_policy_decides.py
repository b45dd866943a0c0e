"""Compiling a policy and asking the engine gives what the formula of section 2 says, and deny never loses.

What lint calls needless is: without it the same policy decides alike.
"""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from replicante import Engine, Policy, PolicyError, parse_policy
from replicante.policy.lint import lint

SEGMENTS = ["a", "b", "ab"]
PATTERN_SEGMENTS = [*SEGMENTS, "*", "**", "a*"]
ACTIONS = ["read", "write", "create", "delete", "execute"]
HELD = {"write", "create", "delete"}


@dataclass(frozen=True)
class WrittenRule:
    effect: str
    action: str
    pattern: tuple[str, ...]
    exactly: bool = False

    def text(self) -> str:
        clause = " exactly" if self.exactly and self.effect in ("deny", "hold") else ""
        return f'{self.effect} {self.action} "/{"/".join(self.pattern)}"{clause}'


def matches_segments(pattern: tuple[str, ...], path: tuple[str, ...]) -> bool:
    """F3, straight from its table."""
    if not pattern:
        return not path
    head, rest = pattern[0], pattern[1:]
    if head == "**":
        return any(matches_segments(rest, path[skip:]) for skip in range(len(path) + 1))
    if not path or not matches_segment(head, path[0]):
        return False
    return matches_segments(rest, path[1:])


def matches_segment(pattern: str, name: str) -> bool:
    if pattern == "*":
        return bool(name)
    if pattern.endswith("*"):
        return name.startswith(pattern[:-1])
    return pattern == name


def matches(rule: WrittenRule, path: tuple[str, ...]) -> bool:
    if rule.effect in ("deny", "hold") and not rule.exactly:
        return any(matches_segments(rule.pattern, path[:length]) for length in range(len(path) + 1))
    return matches_segments(rule.pattern, path)


def outcome(parent: list[WrittenRule], child: list[WrittenRule], action: str, path: tuple[str, ...]) -> str:
    """The formula after S7 for a policy with one ancestor."""

    def matching(rules: list[WrittenRule], effect: str) -> bool:
        return any(rule.effect == effect and rule.action == action and matches(rule, path) for rule in rules)

    lifted = matching(child, "override allow")
    if matching(child, "deny") or (matching(parent, "deny") and not lifted):
        return "deny"
    if not (matching(parent, "allow") or matching(child, "allow") or lifted):
        return "deny"
    if matching(child, "hold") or (matching(parent, "hold") and not lifted):
        return "hold"
    return "allow"


def effects(names: list[str]) -> st.SearchStrategy[list[WrittenRule]]:
    patterns = st.lists(st.sampled_from(PATTERN_SEGMENTS), min_size=1, max_size=3).map(tuple)
    rule = st.builds(
        WrittenRule,
        effect=st.sampled_from(names),
        action=st.sampled_from(ACTIONS),
        pattern=patterns,
        exactly=st.booleans(),
    ).filter(lambda rule: rule.effect != "hold" or rule.action in HELD)
    return st.lists(rule, max_size=5)


PARENTS = effects(["allow", "deny", "hold"])
CHILDREN = effects(["allow", "deny", "hold", "override allow"])
PATHS = st.lists(st.sampled_from([*SEGMENTS, "abc"]), max_size=4).map(tuple)
DEAD = {"P050", "P052"}
"""A rule that does nothing is an error of its own, and no decision is to be compared."""


FIRST_LINE = 4
"""Where the first rule of the child stands; each has a line of its own."""


def policy_of(parent: list[WrittenRule], child: list[WrittenRule]) -> Policy | None:
    lines = "\n".join(rule.text() for rule in child)
    inherited = " ".join(rule.text() for rule in parent)
    text = (
        f"language 1\npolicy base {{ filesystem {{ {inherited} }} }}\n"
        f"policy child extends base {{ filesystem {{\n{lines}\n}} }}"
    )
    try:
        return parse_policy(text, name="child", variables={})
    except PolicyError as refused:
        assert {diagnostic.code for diagnostic in refused.diagnostics} <= DEAD
        return None


def decide(engine: Engine, action: str, path: tuple[str, ...]) -> str:
    return engine.decide(action, "/" + "/".join(path)).effect


@settings(deadline=None, max_examples=200)
@given(PARENTS, CHILDREN, st.lists(PATHS, min_size=1, max_size=8))
def test_compiled_is_the_formula(
    parent: list[WrittenRule], child: list[WrittenRule], paths: list[tuple[str, ...]]
) -> None:
    policy = policy_of(parent, child)
    if policy is None:
        return
    engine = policy.compile()
    for action in ACTIONS:
        for path in paths:
            assert decide(engine, action, path) == outcome(parent, child, action, path), (action, path)


@settings(deadline=None, max_examples=100)
@given(PARENTS, CHILDREN, CHILDREN, PATHS)
def test_deny_never_loses(
    parent: list[WrittenRule], child: list[WrittenRule], more: list[WrittenRule], path: tuple[str, ...]
) -> None:
    """No rule added beside a matching deny makes the request anything but denied."""
    denies = [WrittenRule("deny", action, path or ("a",), exactly=True) for action in ACTIONS]
    policy = policy_of(parent, [*child, *denies, *more])
    if policy is None or not path:
        return
    engine = policy.compile()
    assert all(decide(engine, action, path) == "deny" for action in ACTIONS)


@settings(deadline=None, max_examples=50)
@given(PARENTS, CHILDREN, st.randoms())
def test_order_means_nothing(parent: list[WrittenRule], child: list[WrittenRule], random: object) -> None:
    policy = policy_of(parent, child)
    if policy is None:
        return
    other = policy_of(parent[::-1], child[::-1])
    assert other is not None
    assert other.identity == policy.identity
    assert other.trust_digest == policy.trust_digest


@settings(deadline=None, max_examples=200)
@given(PARENTS, CHILDREN, st.lists(PATHS, min_size=1, max_size=8))
def test_leaving_out_what_lint_calls_needless_changes_no_decision(
    parent: list[WrittenRule], child: list[WrittenRule], paths: list[tuple[str, ...]]
) -> None:
    policy = policy_of(parent, child)
    if policy is None:
        return
    needless = {finding.span.line for finding in lint(policy) if finding.code == "W120"}
    rest = [rule for line, rule in enumerate(child, FIRST_LINE) if line not in needless]
    shorter = policy_of(parent, rest)
    assert shorter is not None
    engine, other = policy.compile(), shorter.compile()
    for action in ACTIONS:
        for path in paths:
            assert decide(engine, action, path) == decide(other, action, path), (action, path)
