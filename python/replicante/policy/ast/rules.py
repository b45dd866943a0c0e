"""Rules of files, network and MCP: heads, clauses, limits and the blocks that hold them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from ..diagnostics import Span
from .conditions import Condition
from .words import Hosts, PortRange, Quantity, Rate, StringLiteral, Word

Effect = Literal["allow", "override_allow", "hold", "deny", "never"]
McpAction = Literal["call", "resource", "prompt", "sampling", "elicitation", "roots"]
Protocol = Literal["tcp", "udp", "http"]
FlagKind = Literal["exactly", "hidden", "existing", "unless-inert", "inspect", "publish"]
RuleBlockKind = Literal["filesystem", "network", "mcp"]
SizeLimitKind = Literal["max-file", "max-total", "max-message"]
HostAction = Literal["connect", "resolve"]


@dataclass(frozen=True, slots=True)
class RateLimit:
    """`rate N/UNIT burst B`; without `burst` it is None and S9 says what holds."""

    rate: Rate
    burst: Quantity | None
    span: Span = field(compare=False, repr=False)
    kind: Literal["rate"] = "rate"


@dataclass(frozen=True, slots=True)
class TransferLimit:
    """`upload SIZE/UNIT burst SIZE` or `download …`; bytes."""

    kind: Literal["upload", "download"]
    rate: Rate
    burst: Quantity | None
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class CountLimit:
    """`connections N` or `max-files N`."""

    kind: Literal["connections", "max-files"]
    count: Quantity
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class SizeLimit:
    """`max-file SIZE`, `max-total SIZE` or `max-message SIZE`; bytes."""

    kind: SizeLimitKind
    size: Quantity
    span: Span = field(compare=False, repr=False)


Limit: TypeAlias = RateLimit | TransferLimit | CountLimit | SizeLimit


@dataclass(frozen=True, slots=True)
class Label:
    """`as NAME`."""

    name: Word
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Because:
    """`because "TEXT"`."""

    text: StringLiteral
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Flag:
    """A clause that is only a word or two; `unless-inert` is `unless inert`, `inspect` is `inspect tls`."""

    kind: FlagKind
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Port:
    """`port 443, 8000..8010`, as written."""

    ranges: tuple[PortRange, ...]
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class ProtocolClause:
    """`protocol tcp`."""

    protocol: Protocol
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Method:
    """`method GET, HEAD`."""

    methods: tuple[Word, ...]
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class UrlPath:
    """`path "/v1/**"`."""

    patterns: tuple[StringLiteral, ...]
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class To:
    """`to private, loopback`."""

    classes: tuple[Word, ...]
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Where:
    """`where CONDITION`."""

    condition: Condition
    span: Span = field(compare=False, repr=False)


Clause: TypeAlias = Label | Because | Flag | Port | ProtocolClause | Method | UrlPath | To | Where | Limit


@dataclass(frozen=True, slots=True)
class FileHead:
    """`read, write "/a", "/b"`; `any` has no actions."""

    is_any: bool
    actions: tuple[Word, ...]
    patterns: tuple[StringLiteral, ...]
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class HostHead:
    """`connect HOSTS` or `resolve HOSTS`."""

    action: HostAction
    hosts: Hosts
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class UnixHead:
    """`connect unix "PATH"`."""

    patterns: tuple[StringLiteral, ...]
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class ListenHead:
    """`listen`; its ports are a clause."""

    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class McpHead:
    """`call "server:tool"`; `expose` is None where it is not said."""

    action: McpAction
    subjects: tuple[StringLiteral, ...]
    expose: tuple[StringLiteral, ...] | None
    span: Span = field(compare=False, repr=False)


Head: TypeAlias = FileHead | HostHead | UnixHead | ListenHead | McpHead


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a block, or a `never`; `keyword` is its first word, where a fix-it puts `override`."""

    effect: Effect
    head: Head
    clauses: tuple[Clause, ...]
    keyword: Span = field(compare=False, repr=False)
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class BlockLimit:
    """`limit …` or `override limit …`."""

    is_override: bool
    limits: tuple[Limit, ...]
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class LimitsOf:
    """`override limits of LABEL …`; the reference is `label` or `policy/label`."""

    rule: Word
    limits: tuple[Limit, ...]
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Pin:
    """`pin "server" "sha256:…"`; a digest of None is `on-first-use`."""

    subject: StringLiteral
    digest: StringLiteral | None
    span: Span = field(compare=False, repr=False)


RuleStatement: TypeAlias = Rule | BlockLimit | LimitsOf | Pin


@dataclass(frozen=True, slots=True)
class RuleBlock:
    """`filesystem`, `network` or `mcp`."""

    kind: RuleBlockKind
    items: tuple[RuleStatement, ...]
    keyword: Span = field(compare=False, repr=False)
    span: Span = field(compare=False, repr=False)
