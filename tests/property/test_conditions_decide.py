"""Conditions of MCP rules follow three-valued logic as M3 says, evaluated naively over any arguments."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast

from hypothesis import event, given, settings
from hypothesis import strategies as st

from replicante import parse_policy

Json = bool | int | str | list["Json"] | None
Truth = bool | None
"""None is unknown."""

COMPARISONS: dict[str, Callable[[int, int], bool]] = {
    "<": lambda one, other: one < other,
    "<=": lambda one, other: one <= other,
    ">": lambda one, other: one > other,
    ">=": lambda one, other: one >= other,
}
TYPES = ("string", "number", "boolean", "array", "null")
NAMES = ("a", "b")


def type_of(value: Json) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    return "number" if isinstance(value, int) else "string" if isinstance(value, str) else "array"


@dataclass(frozen=True)
class Test:
    """`QUANTIFIER arg NAME WORD VALUE`."""

    __test__ = False

    quantifier: str
    name: str
    word: str
    value: Json

    def text(self) -> str:
        value = {"exists": "", "is": f" {self.value}"}.get(self.word, f" {json.dumps(self.value)}")
        return f"{self.quantifier} arg {self.name} {self.word}{value}".strip()

    def truth(self, arguments: Mapping[str, Json]) -> Truth:
        is_there = self.name in arguments
        if not self.quantifier:
            if self.word == "exists":
                return is_there
            return self.of(arguments[self.name]) if is_there else None
        value = arguments.get(self.name)
        if not isinstance(value, list):
            return None
        truths = [True if self.word == "exists" else self.of(element) for element in value]
        return any_of(truths) if self.quantifier == "some" else all_of(truths)

    def of(self, value: Json) -> Truth:
        """One value; of a wrong type it is unknown."""
        if self.word == "is":
            return type_of(value) == self.value
        if self.word in ("==", "!="):
            if type_of(value) != type_of(self.value):
                return None
            return (value == self.value) == (self.word == "==")
        if self.word == "in":
            known = cast("list[Json]", self.value)
            if type_of(value) not in {type_of(one) for one in known}:
                return None
            return any(type_of(value) == type_of(one) and value == one for one in known)
        if self.word.startswith("length"):
            return len(value) <= int(str(self.value)) if isinstance(value, str | list) else None
        if isinstance(value, bool) or not isinstance(value, int):
            return None
        return COMPARISONS[self.word](value, int(str(self.value)))


@dataclass(frozen=True)
class Only:
    """`args only [a]`."""

    names: tuple[str, ...]

    def text(self) -> str:
        return f"args only [{', '.join(self.names)}]"

    def truth(self, arguments: Mapping[str, Json]) -> Truth:
        return arguments.keys() <= set(self.names)


@dataclass(frozen=True)
class Combined:
    """`not`, `and`, `or`."""

    word: str
    parts: tuple[Condition, ...]

    def text(self) -> str:
        inner = [f"({part.text()})" for part in self.parts]
        return f"not {inner[0]}" if self.word == "not" else f" {self.word} ".join(inner)

    def truth(self, arguments: Mapping[str, Json]) -> Truth:
        truths = [part.truth(arguments) for part in self.parts]
        if self.word == "not":
            return None if truths[0] is None else not truths[0]
        return all_of(truths) if self.word == "and" else any_of(truths)


Condition = Test | Only | Combined


def all_of(truths: list[Truth]) -> Truth:
    """The minimum in the order false < unknown < true."""
    return False if False in truths else None if None in truths else True


def any_of(truths: list[Truth]) -> Truth:
    return True if True in truths else None if None in truths else False


SCALARS = st.sampled_from([0, 1, 2, "", "x", "xy", True, False, None])
NUMBERS = st.sampled_from([0, 1, 2])
TESTS = st.one_of(
    st.builds(
        Test,
        st.sampled_from(["", "some", "every"]),
        st.sampled_from(NAMES),
        st.just("is"),
        st.sampled_from(TYPES),
    ),
    st.builds(
        Test,
        st.sampled_from(["", "some", "every"]),
        st.sampled_from(NAMES),
        st.sampled_from(["==", "!="]),
        SCALARS,
    ),
    st.builds(
        Test,
        st.sampled_from(["", "some", "every"]),
        st.sampled_from(NAMES),
        st.sampled_from(sorted(COMPARISONS)),
        NUMBERS,
    ),
    st.builds(
        Test, st.sampled_from(["", "some", "every"]), st.sampled_from(NAMES), st.just("length <="), NUMBERS
    ),
    st.builds(
        Test,
        st.sampled_from(["", "some", "every"]),
        st.sampled_from(NAMES),
        st.just("in"),
        st.lists(SCALARS, min_size=1, max_size=3),
    ),
    st.builds(Test, st.just(""), st.sampled_from(NAMES), st.just("exists"), st.just(None)),
    st.builds(Only, st.sampled_from([("a",), ("b",), ("a", "b")])),
)
CONDITIONS: st.SearchStrategy[Condition] = st.recursive(
    TESTS,
    lambda inner: st.one_of(
        st.builds(Combined, st.just("not"), st.tuples(inner)),
        st.builds(Combined, st.sampled_from(["and", "or"]), st.tuples(inner, inner)),
    ),
    max_leaves=5,
)
VALUES = st.one_of(SCALARS, st.lists(SCALARS, max_size=3))
ARGUMENTS = st.dictionaries(st.sampled_from(NAMES), VALUES)


@settings(deadline=None, max_examples=400)
@given(CONDITIONS, st.lists(ARGUMENTS, min_size=1, max_size=6))
def test_an_allow_needs_true_and_a_restriction_all_but_false(
    condition: Condition, calls: list[dict[str, Json]]
) -> None:
    text = (
        'language 1\npolicy p { mcp { allow call "allow:*" where CONDITION '
        'allow call "deny:*" deny call "deny:*" where CONDITION '
        'allow call "hold:*" hold call "hold:*" where CONDITION } }'
    ).replace("CONDITION", condition.text())
    engine = parse_policy(text).compile()
    for arguments in calls:
        truth = condition.truth(arguments)
        event(f"{truth}")
        expected = {
            "allow": "allow" if truth is True else "deny",
            "deny": "allow" if truth is False else "deny",
            "hold": "allow" if truth is False else "hold",
        }
        for server, effect in expected.items():
            decided = engine.decide("call", f"{server}:t", arguments=arguments).effect
            assert decided == effect, (condition.text(), arguments, server)
