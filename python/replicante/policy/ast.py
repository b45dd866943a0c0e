"""The syntax tree of a policy: what was written and where, before any of it means something (Appendix A).

Spans take no part in comparisons: two texts with equal trees say the same. Quantities are held as integers in
bytes, nanoseconds or thousandths of a core, beside the text as written, which the formatter keeps.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from .diagnostics import Span

Effect = Literal["allow", "override_allow", "hold", "deny", "never"]
Outcome = Literal["allow", "hold", "deny"]
FileAction = Literal["read", "write", "create", "delete", "execute"]
McpAction = Literal["call", "resource", "prompt", "sampling", "elicitation", "roots"]
Protocol = Literal["tcp", "udp", "http"]
Comparison = Literal["<", "<=", ">", ">=", "==", "!="]
Quantifier = Literal["some", "every"]
JsonType = Literal["string", "number", "boolean", "array", "object", "null"]
Severity = Literal["info", "low", "medium", "high", "critical"]
Reaction = Literal["notify", "snapshot", "throttle", "cut", "freeze", "quarantine", "kill"]
Layer = Literal["overlay", "direct"]
HomeKind = Literal["real", "private", "fresh"]
FlagKind = Literal["exactly", "hidden", "existing", "unless-inert", "inspect", "publish"]
RuleBlockKind = Literal["filesystem", "network", "mcp"]
SizeLimitKind = Literal["max-file", "max-total", "max-message"]
HostAction = Literal["connect", "resolve"]
KeepOrDrop = Literal["keep", "drop"]
SecretSource = Literal["keyring", "file", "env"]
MeasureKind = Literal["count", "volume", "usage"]
SyscallEffect = Literal["allow", "override_allow", "hold", "deny"]
MatchKind = Literal["path", "host", "text"]


# ---- words, strings, quantities -------------------------------------------------------------------------


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


# ---- conditions of MCP rules (M3) -----------------------------------------------------------------------


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


# ---- limits ----------------------------------------------------------------------------------------------


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


# ---- clauses ---------------------------------------------------------------------------------------------


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


# ---- rules -----------------------------------------------------------------------------------------------


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


# ---- resources, system calls, capabilities, environment -------------------------------------------------


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


# ---- alerts and tripwires --------------------------------------------------------------------------------


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


# ---- requests and tests ----------------------------------------------------------------------------------


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


# ---- policies and files ----------------------------------------------------------------------------------


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
