"""Conditions of MCP rules (M3), and the scalars that JSON has as well."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from ..diagnostics import Span
from .words import Quantity, StringLiteral

Comparison = Literal["<", "<=", ">", ">=", "==", "!="]
Quantifier = Literal["some", "every"]
JsonType = Literal["string", "number", "boolean", "array", "object", "null"]
MatchKind = Literal["path", "host", "text"]


@dataclass(frozen=True, slots=True)
class ArgumentPath:
    """`a.b`, or `**` with no names: all string leaves."""

    names: tuple[str, ...]
    span: Span = field(compare=False, repr=False)

    @property
    def is_all_leaves(self) -> bool:
        """Whether it is `**`."""
        return not self.names


@dataclass(frozen=True, slots=True)
class NumberLiteral:
    """A number of a condition or of JSON: an exact decimal, a size as its bytes."""

    value: str
    written: str
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class JsonWord:
    """`true`, `false` or `null`."""

    value: bool | None
    span: Span = field(compare=False, repr=False)


Scalar: TypeAlias = StringLiteral | NumberLiteral | JsonWord


@dataclass(frozen=True, slots=True)
class Matches:
    """`matches KIND "PATTERN"`; without a kind it is None."""

    kind: MatchKind | None
    pattern: StringLiteral
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Length:
    """`length <= 20`."""

    comparison: Comparison
    count: Quantity
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Compare:
    """`<= 1000`, `== "x"`."""

    comparison: Comparison
    value: Scalar
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class In:
    """`in ["a", "b"]`."""

    values: tuple[Scalar, ...]
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class IsType:
    """`is string`."""

    type: JsonType
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Exists:
    """`exists`."""

    span: Span = field(compare=False, repr=False)


ArgumentCheck: TypeAlias = Matches | Length | Compare | In | IsType | Exists


@dataclass(frozen=True, slots=True)
class ArgumentTest:
    """One test of an argument, or of some or every element of it."""

    quantifier: Quantifier | None
    argument: ArgumentPath
    test: ArgumentCheck
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class ArgumentsOnly:
    """`args only [a, b]`."""

    arguments: tuple[ArgumentPath, ...]
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Not:
    """`not c`."""

    condition: Condition
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class And:
    """`c and c and …`, two or more."""

    conditions: tuple[Condition, ...]
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Or:
    """`c or c or …`, two or more."""

    conditions: tuple[Condition, ...]
    span: Span = field(compare=False, repr=False)


Condition: TypeAlias = ArgumentTest | ArgumentsOnly | Not | And | Or
