"""Policies and files, with the statements that stand in a policy itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from ..diagnostics import Span
from .alerts import Alert, Tripwire
from .blocks import CapabilitiesBlock, EnvironmentBlock, ResourcesBlock, SyscallsBlock
from .requests import Test
from .rules import Rule, RuleBlock
from .words import StringLiteral, Word

Layer = Literal["overlay", "direct"]
HomeKind = Literal["real", "private", "fresh"]


@dataclass(frozen=True, slots=True)
class Description:
    """`description "TEXT"`."""

    text: StringLiteral
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Workspace:
    """`workspace overlay` or `workspace direct` (F10)."""

    layer: Layer
    is_override: bool
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Home:
    """`home real`, `home private` or `home fresh` (decisions.md D1)."""

    home: HomeKind
    is_override: bool
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class AcceptWeaker:
    """`accept weaker NAME, …` (E3)."""

    names: tuple[Word, ...]
    because: StringLiteral | None
    span: Span = field(compare=False, repr=False)


Block: TypeAlias = RuleBlock | ResourcesBlock | SyscallsBlock | CapabilitiesBlock | EnvironmentBlock

PolicyItem: TypeAlias = Description | Workspace | Home | AcceptWeaker | Rule | Alert | Tripwire | Test | Block
"""A statement of a policy; a `Rule` here is a `never`."""


@dataclass(frozen=True, slots=True)
class Policy:
    """One policy as written."""

    name: Word
    extends: tuple[Word, ...]
    items: tuple[PolicyItem, ...]
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Import:
    """`import "PATH"`."""

    path: StringLiteral
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment with its `#`; `is_own_line` if nothing stands before it on its line."""

    text: str
    is_own_line: bool
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class File:
    """The whole text of a policy file; comments are kept for the formatter only."""

    imports: tuple[Import, ...]
    policies: tuple[Policy, ...]
    comments: tuple[Comment, ...] = field(compare=False, repr=False)
    span: Span = field(compare=False, repr=False)
