"""The blocks `resources`, `syscalls`, `capabilities` and `environment`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from ..diagnostics import Span
from .words import Quantity, Rate, StringLiteral, Word

KeepOrDrop = Literal["keep", "drop"]
SecretSource = Literal["keyring", "file", "env"]
SyscallEffect = Literal["allow", "override_allow", "hold", "deny"]


@dataclass(frozen=True, slots=True)
class ResourceLimit:
    """One key of `resources`: bytes, a count, nanoseconds or thousandths of a core; a rate for `io-…`."""

    key: str
    value: Quantity | Rate
    is_override: bool
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class ResourcesBlock:
    """`resources`."""

    items: tuple[ResourceLimit, ...]
    keyword: Span = field(compare=False, repr=False)
    span: Span = field(compare=False, repr=False)
    kind: Literal["resources"] = "resources"


@dataclass(frozen=True, slots=True)
class SyscallRule:
    """A rule of `syscalls`; names are kernel names or groups with `@`."""

    effect: SyscallEffect
    names: tuple[Word, ...]
    errno: Word | None
    is_kill: bool
    label: Word | None
    because: StringLiteral | None
    keyword: Span = field(compare=False, repr=False)
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class SyscallsBlock:
    """`syscalls`."""

    items: tuple[SyscallRule, ...]
    keyword: Span = field(compare=False, repr=False)
    span: Span = field(compare=False, repr=False)
    kind: Literal["syscalls"] = "syscalls"


@dataclass(frozen=True, slots=True)
class CapabilityRule:
    """`keep NAME`, `override keep NAME` or `drop NAME`."""

    verb: KeepOrDrop
    is_override: bool
    names: tuple[Word, ...]
    because: StringLiteral | None
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class CapabilitiesBlock:
    """`capabilities`."""

    items: tuple[CapabilityRule, ...]
    keyword: Span = field(compare=False, repr=False)
    span: Span = field(compare=False, repr=False)
    kind: Literal["capabilities"] = "capabilities"


@dataclass(frozen=True, slots=True)
class EnvironmentNames:
    """`keep NAME, PREFIX*` or `drop …`."""

    verb: KeepOrDrop
    names: tuple[Word, ...]
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class EnvironmentSet:
    """`set NAME "VALUE"`."""

    name: Word
    value: StringLiteral
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Secret:
    """`secret NAME from … for "HOST"`; `hosts` is None for `reveal`; the value of `env` is a name."""

    name: Word
    source: SecretSource
    value: StringLiteral | Word
    hosts: tuple[StringLiteral, ...] | None
    span: Span = field(compare=False, repr=False)


EnvironmentStatement: TypeAlias = EnvironmentNames | EnvironmentSet | Secret


@dataclass(frozen=True, slots=True)
class EnvironmentBlock:
    """`environment`."""

    items: tuple[EnvironmentStatement, ...]
    keyword: Span = field(compare=False, repr=False)
    span: Span = field(compare=False, repr=False)
    kind: Literal["environment"] = "environment"
