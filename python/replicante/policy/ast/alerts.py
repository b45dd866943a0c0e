"""Alerts and tripwires."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ..diagnostics import Span
from .words import Hosts, Quantity, StringLiteral, Word

Severity = Literal["info", "low", "medium", "high", "critical"]
MeasureKind = Literal["count", "volume", "usage"]


@dataclass(frozen=True, slots=True)
class Measure:
    """What an alert counts (A1).

    Attributes:
        kind: `count` of events, `volume` of bytes, `usage` of a limit in percent.
        event: `denied.filesystem`, `bytes.sent`, `used.memory`, …
        threshold: Events, bytes or percent; None if each event counts alone.
        window: Nanoseconds after `within` or `for`.
    """

    kind: MeasureKind
    event: Word
    pattern: StringLiteral | None
    threshold: Quantity | None
    window: Quantity | None
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert, reactions as written."""

    name: Word
    severity: Severity
    measure: Measure
    clear_after: Quantity | None
    reactions: tuple[Word, ...]
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class PathTarget:
    """`at "PATH"`."""

    patterns: tuple[StringLiteral, ...]
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class HostTarget:
    """`at connect HOSTS`."""

    hosts: Hosts
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class CallTarget:
    """`at call "server:tool"`."""

    subjects: tuple[StringLiteral, ...]
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Tripwire:
    """A tripwire, reactions as written."""

    name: Word
    target: PathTarget | HostTarget | CallTarget
    reactions: tuple[Word, ...]
    span: Span = field(compare=False, repr=False)
