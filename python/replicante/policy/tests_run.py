"""Running `test` blocks on the compiled policy, and counting which rules they cover (X1 to X3)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .diagnostics import Note, Source, Span
from .explain import reason_text
from .findings import Findings
from .model import Policy
from .requests import Question, decide, parse_question, request_text
from .statements import TestRun

if TYPE_CHECKING:
    from replicante._core import Decision, Engine

MAX_EXPECTATIONS = 10_000
"""A policy has at most so many expectations (X3)."""


@dataclass(frozen=True, slots=True)
class RulePlace:
    """Where a rule is written, for a note."""

    span: Span
    source: Source


@dataclass(frozen=True, slots=True)
class Coverage:
    """How many expectations passed, and which written rules none of them is decided by."""

    expectations: int
    covered: tuple[str, ...]
    not_covered: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """An ancestor's expectation that this policy decides differently (W140)."""

    policy: str
    test: str
    request: str
    expected: str
    actual: str
    why: str
    """`stricter`, `silence filled by RULE` or `lifted by RULE`."""


def run_tests(
    engine: Engine, runs: Sequence[TestRun], places: Mapping[str, RulePlace], findings: Findings
) -> None:
    """Asks every expectation; each one that fails is an error that shows what `explain` would (P070)."""
    if len(runs) > MAX_EXPECTATIONS:
        message = f"there are more than {MAX_EXPECTATIONS} expectations"
        findings.error("P007", runs[MAX_EXPECTATIONS].span, message, rule="X3")
        return
    for run in runs:
        decision = decide(engine, run.question.bound)
        if decision.effect != run.outcome:
            answer = f"{decision.effect}: {reason_text(decision)}"
            message = f"test `{run.test}` expects {run.outcome}, but the answer is {answer}"
            notes = _notes(decision, places)
            findings.error("P070", run.span, message, rule="X2", notes=notes)


def _notes(decision: Decision, places: Mapping[str, RulePlace]) -> tuple[Note, ...]:
    place = None if decision.rule is None else places.get(decision.rule.id)
    if decision.rule is None or place is None:
        return ()
    return (Note(f"decided by `{decision.rule.id}`", place.span, place.source),)


def coverage(policy: Policy) -> Coverage:
    """Counts the rules of a policy itself that are decisive for at least one of its own expectations (X3)."""
    engine = policy.compile()
    own_tests = [test for test in policy.tests if test.policy == policy.name]
    questions = [
        parse_question(expectation.request) for test in own_tests for expectation in test.expectations
    ]
    decisive = {
        decision.rule.id for question in questions if (decision := decide(engine, question)).rule is not None
    }
    written = {
        rule.id
        for rule in (*policy.rules, *policy.syscalls)
        if rule.policy == policy.name and "/implicit." not in rule.id
    }
    return Coverage(
        expectations=len(questions),
        covered=tuple(sorted(written & decisive)),
        not_covered=tuple(sorted(written - decisive)),
    )


def inherited_differences(policy: Policy) -> Iterable[Difference]:
    """Runs the ancestors' tests against a policy and gives what comes out differently (W140)."""
    engine = policy.compile()
    for test in policy.tests:
        if test.policy == policy.name:
            continue
        for expectation in test.expectations:
            question = parse_question(expectation.request)
            decision = decide(engine, question)
            if decision.effect != expectation.outcome:
                yield Difference(
                    policy=test.policy,
                    test=test.name,
                    request=request_text(question),
                    expected=expectation.outcome,
                    actual=decision.effect,
                    why=_why(policy, question, expectation.outcome, decision),
                )


_ORDER = ("deny", "hold", "allow")


def _why(policy: Policy, question: Question, expected: str, decision: Decision) -> str:
    if _ORDER.index(decision.effect) < _ORDER.index(expected):
        return "stricter"
    rule = "a rule" if decision.rule is None else decision.rule.id
    overrides = {entry.id for entry in policy.rules if entry.effect == "override_allow"}
    return f"lifted by {rule}" if rule in overrides else f"silence filled by {rule}"
