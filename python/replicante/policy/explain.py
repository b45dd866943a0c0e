"""Answers to a person who asks why: the text and the JSON of `policy explain` (§14)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from . import syscalls
from .diagnostics import visible
from .requests import Question, explain, request_text

if TYPE_CHECKING:
    from replicante._core import Decision, Engine, Explanation, RuleRef

Json: TypeAlias = "bool | int | str | list[Json] | dict[str, Json] | None"

_REASONS = {
    "allow-rule": ("rule", "S1"),
    "hold-rule": ("hold by", "S3"),
    "deny-rule": ("rule", "S2"),
    "never": ("never, by", "S4"),
    "tripwire": ("tripwire", "A3"),
    "no-allow-rule": ("no allow rule matches", "S1"),
    "limit": ("a limit is spent", "S9"),
    "undecidable": ("the request cannot be decided", "S10"),
    "definition-changed": ("the tool's definition changed", "M5"),
}
_NAME_WIDTH = 13


@dataclass(frozen=True, slots=True)
class Answer:
    """One explained request."""

    question: Question
    explanation: Explanation

    @property
    def allowed(self) -> bool:
        """Whether the request goes ahead at once."""
        return self.explanation.outcome == "allow"

    def text(self) -> str:
        """Gives the lines that a person reads."""
        lines = [_headline(self.explanation), _row("request", request_text(self.question))]
        lines += _rule_rows(self.explanation)
        return "\n".join(lines)

    def to_json(self) -> dict[str, Json]:
        """Gives the object that programs read; no limits are charged and no run is asked."""
        explanation = self.explanation
        nearest = explanation.nearest_allow
        return {
            "schema": 1,
            "ok": self.allowed,
            "outcome": explanation.outcome,
            "reason": explanation.reason,
            "rule": None
            if explanation.rule is None
            else {**_place(explanation.rule), "because": explanation.rule.because},
            "would_allow": [_place(rule) for rule in explanation.would_allow],
            "nearest_allow": None
            if nearest is None
            else {**_place(nearest.rule), "differs": list[Json](nearest.differs)},
            "lifted_by": explanation.lifted_by,
            "limits": [],
            "generation": None,
            "diagnostics": [],
        }


def answer(engine: Engine, question: Question) -> Answer:
    """Decides a request and explains the decision."""
    return Answer(question, explain(engine, question))


def reason_text(decision: Decision | Explanation) -> str:
    """Gives the reason of a decision in words, with the rule that decided."""
    words, number = _REASONS[decision.reason]
    rule = "" if decision.rule is None else f" {decision.rule.id}"
    return f"{words}{rule} ({number})"


def group_text(name: str) -> str | None:
    """Gives the system calls of a group, one on each line; None if there is no such group (C1)."""
    calls = syscalls.groups().get(name)
    return None if calls is None else "\n".join(calls)


def _headline(explanation: Explanation) -> str:
    words, number = _REASONS[explanation.reason]
    if explanation.rule is None:
        return f"{explanation.outcome}: {words} ({number})"
    rule = explanation.rule
    return f"{explanation.outcome}: {words} {_located(rule)}  ({number})"


def _rule_rows(explanation: Explanation) -> Iterable[str]:
    if explanation.rule is not None and explanation.rule.because is not None:
        yield _row("because", visible(explanation.rule.because))
    for rule in explanation.would_allow:
        yield _row("would allow", _located(rule))
    nearest = explanation.nearest_allow
    if nearest is not None:
        yield _row("nearest allow", _located(nearest.rule))
        yield from (" " * (_NAME_WIDTH + 3) + visible(text) for text in nearest.differs)
    if explanation.outcome != "allow":
        yield _row("lifted by", _remedy(explanation))


def _remedy(explanation: Explanation) -> str:
    if explanation.lifted_by is None:
        return "nothing"
    return f"nothing; a child policy may write:  {visible(explanation.lifted_by)}"


def _located(rule: RuleRef) -> str:
    return f"{rule.id}  {visible(rule.file)}:{rule.line}:{rule.column}"


def _row(name: str, text: str) -> str:
    return f"  {name:<{_NAME_WIDTH}} {text}"


def _place(rule: RuleRef) -> dict[str, Json]:
    return {"id": rule.id, "file": rule.file, "line": rule.line, "column": rule.column}
