"""Conditions of MCP rules: from the syntax tree to the model (M3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeVar

from . import ast
from .checks import patterns
from .clauses import Reading
from .model import (
    ArgumentTest,
    Combination,
    CompareTest,
    Condition,
    ExactNumber,
    ExistsTest,
    InTest,
    LengthTest,
    OnlyArguments,
    PathTest,
    PatternTest,
    Scalar,
    TestArgument,
    TypeTest,
)
from .statements import Both

T = TypeVar("T")


def read_condition(condition: ast.Condition, reading: Reading, *, restricts: bool) -> Both[Condition]:
    """Gives the condition of a rule, bound and symbolic.

    Args:
        condition: As parsed.
        reading: The policy it belongs to.
        restricts: Whether the rule denies, holds or is `never`: a path test of it then closes downward under
            an even number of `not`, and in an allow under an odd number, where being true tightens.
    """
    return _Reader(reading).read(condition, tightens=restricts)


def exact_number(value: str) -> ExactNumber:
    """Gives a number its one shortest text: `1`, `1.0` and `1e0` are equal by value (M3)."""
    number = Decimal(value)
    return ExactNumber(number="0" if number == 0 else format(number.normalize(), "f"))


@dataclass(frozen=True, slots=True)
class _Reader:
    reading: Reading

    def read(self, node: ast.Condition, *, tightens: bool) -> Both[Condition]:
        match node:
            case ast.And():
                return self._combine("and", node.conditions, tightens=tightens)
            case ast.Or():
                return self._combine("or", node.conditions, tightens=tightens)
            case ast.Not():
                return self._combine("not", (node.condition,), tightens=not tightens)
            case ast.ArgumentsOnly():
                return _same(
                    OnlyArguments(args=tuple(sorted(".".join(path.names) for path in node.arguments)))
                )
            case ast.ArgumentTest():
                test = self._test(node, tightens=tightens)
                bound = TestArgument(
                    arg=None if node.argument.is_all_leaves else node.argument.names,
                    each=node.quantifier,
                    test=test.bound,
                )
                if test.symbolic is test.bound:
                    return _same(bound)
                return Both(bound, bound.model_copy(update={"test": test.symbolic}))

    def _combine(self, op: str, nodes: Sequence[ast.Condition], *, tightens: bool) -> Both[Condition]:
        parts = [self.read(node, tightens=tightens) for node in nodes]
        bound = Combination.model_validate({"op": op, "of": tuple(part.bound for part in parts)})
        if all(part.bound is part.symbolic for part in parts):
            return _same(bound)
        return Both(bound, bound.model_copy(update={"of": tuple(part.symbolic for part in parts)}))

    def _test(self, node: ast.ArgumentTest, *, tightens: bool) -> Both[ArgumentTest]:
        test = node.test
        match test:
            case ast.Matches():
                return self._matches(test, tightens=tightens)
            case ast.Compare():
                return _same(CompareTest(cmp=test.comparison, value=self._scalar(test.value)))
            case ast.In():
                return _same(InTest(values=tuple(self._scalar(value) for value in test.values)))
            case ast.Length():
                return _same(LengthTest(cmp=test.comparison, count=test.count.value))
            case ast.IsType():
                return _same(TypeTest(type=test.type))
            case ast.Exists():
                return _same(ExistsTest())

    def _matches(self, test: ast.Matches, *, tightens: bool) -> Both[ArgumentTest]:
        kind = test.kind or ("path" if _starts_as_path(test.pattern) else None)
        findings = self.reading.findings
        if kind is None:
            findings.error(
                "P057", test.pattern.span, "`matches` needs to know what it compares", rule="M3",
                fix="write `matches path`, `matches host` or `matches text`",
            )  # fmt: skip
            return _same(ExistsTest())
        both = self.reading.binder.pattern(test.pattern, "path" if kind == "path" else "word")
        span = test.pattern.span
        if kind == "path":
            patterns.check_path(both.bound, span, findings)
            bound = PathTest(pattern=both.bound, downward=tightens)
        elif kind == "host":
            host = patterns.check_host(both.bound, span, findings, grants=False)
            bound = PatternTest(kind="host", pattern=both.bound if host is None else host.pattern or "**")
        else:
            bound = PatternTest(kind="text", pattern=both.bound)
        if both.symbolic is both.bound:
            return _same(bound)
        return Both(bound, bound.model_copy(update={"pattern": both.symbolic}))

    def _scalar(self, scalar: ast.Scalar) -> Scalar:
        if isinstance(scalar, ast.StringLiteral):
            return self.reading.binder.plain(scalar, "nowhere").bound
        if isinstance(scalar, ast.NumberLiteral):
            return exact_number(scalar.value)
        return scalar.value


def _starts_as_path(literal: ast.StringLiteral) -> bool:
    first = literal.parts[0] if literal.parts else None
    if isinstance(first, ast.VariableReference):
        return True
    return first is not None and first.pattern.startswith("/")


def _same(part: T) -> Both[T]:
    return Both(part, part)
