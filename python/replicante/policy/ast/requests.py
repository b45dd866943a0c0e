"""Requests, as after `expect` and in `explain`, and the tests that hold them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from ..diagnostics import Span
from .conditions import JsonWord, NumberLiteral
from .rules import McpAction, Protocol
from .words import Quantity, StringLiteral, Word

Outcome = Literal["allow", "hold", "deny"]
FileAction = Literal["read", "write", "create", "delete", "execute"]


@dataclass(frozen=True, slots=True)
class JsonArray:
    """A JSON array after `with`."""

    items: tuple[JsonValue, ...]
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class JsonObject:
    """A JSON object after `with`; its keys are different (P015)."""

    pairs: tuple[tuple[StringLiteral, JsonValue], ...]
    span: Span = field(compare=False, repr=False)


JsonValue: TypeAlias = StringLiteral | NumberLiteral | JsonWord | JsonArray | JsonObject


@dataclass(frozen=True, slots=True)
class FileRequest:
    """`read "PATH" made via "NAME"`."""

    action: FileAction
    path: StringLiteral
    is_made: bool
    via: tuple[StringLiteral, ...]
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class ConnectRequest:
    """`connect "HOST" port N …`; what is not said is None or empty."""

    host: StringLiteral
    port: Quantity | None
    protocol: Protocol | None
    method: Word | None
    path: StringLiteral | None
    resolves: tuple[StringLiteral, ...]
    cname: tuple[StringLiteral, ...]
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class UnixRequest:
    """`connect unix "PATH"`."""

    path: StringLiteral
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class ResolveRequest:
    """`resolve "HOST"`."""

    host: StringLiteral
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class ListenRequest:
    """`listen port N`."""

    port: Quantity
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class McpRequest:
    """`call "server:tool" with { … }`; arguments are None where `with` is not said."""

    action: McpAction
    subject: StringLiteral
    arguments: JsonObject | None
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class SyscallRequest:
    """`syscall NAME`."""

    name: Word
    span: Span = field(compare=False, repr=False)


Request: TypeAlias = (
    FileRequest | ConnectRequest | UnixRequest | ResolveRequest | ListenRequest | McpRequest | SyscallRequest
)


@dataclass(frozen=True, slots=True)
class Expectation:
    """`expect OUTCOME REQUEST`."""

    outcome: Outcome
    request: Request
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Test:
    """A `test` block."""

    name: StringLiteral
    expectations: tuple[Expectation, ...]
    span: Span = field(compare=False, repr=False)
