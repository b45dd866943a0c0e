"""Words, strings, quantities and hosts: the leaves of the tree."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..diagnostics import Span


@dataclass(frozen=True, slots=True)
class Word:
    """A name or a word of a closed set."""

    text: str
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class LiteralText:
    """Characters of a string.

    `pattern` keeps wildcards bare and puts a backslash before each wildcard character and backslash that is
    meant literally, as docs/reference/compiled-form.md says; `plain` has all escapes resolved.
    """

    pattern: str
    plain: str
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class VariableReference:
    """`${name}` in a string; whether the name is one of the closed set is not checked here (T6)."""

    name: str
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class StringLiteral:
    """A string: its parts in order, and the text as written, quotes included."""

    parts: tuple[LiteralText | VariableReference, ...]
    written: str
    span: Span = field(compare=False, repr=False)

    def plain(self) -> str:
        """Gives the text with escapes resolved and variables as `${name}`: right where none may stand."""
        return "".join(
            part.plain if isinstance(part, LiteralText) else f"${{{part.name}}}" for part in self.parts
        )

    def pattern(self) -> str:
        """Gives the text in pattern form with variables as `${name}`."""
        return "".join(
            part.pattern if isinstance(part, LiteralText) else f"${{{part.name}}}" for part in self.parts
        )


@dataclass(frozen=True, slots=True)
class Quantity:
    """A size in bytes, a duration in nanoseconds, thousandths of a core, a percentage, a port or a count."""

    value: int
    written: str
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Rate:
    """So many requests or bytes in a unit of time, in nanoseconds."""

    count: int
    unit_ns: int
    written: str
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class HostSet:
    """`@name`, kept with its `@`."""

    name: str
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Hosts:
    """What stands after `connect` or `resolve`: hosts, or `any` with an empty list."""

    is_any: bool
    items: tuple[StringLiteral | HostSet, ...]
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class PortRange:
    """Inclusive range of ports; a single port has the same ends."""

    low: int
    high: int
    span: Span = field(compare=False, repr=False)
