"""The frozen policy model: all that stages after checking see (policy-language.md §12 D1)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple, cast

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from replicante._core import Engine, policy_identity

from .canonical import Json, digest

if TYPE_CHECKING:
    from .assemble import Origin
    from .diagnostics import Diagnostic
    from .requests import Question

Effect = Literal["allow", "override_allow", "hold", "deny", "never", "tripwire"]
FileAction = Literal["read", "write", "create", "delete", "execute"]
NetworkAction = Literal["connect", "resolve", "connect-unix", "listen"]
McpAction = Literal["call", "resource", "prompt", "sampling", "elicitation", "roots"]
Action = FileAction | NetworkAction | McpAction
HostKind = Literal["any", "name", "net"]
Protocol = Literal["tcp", "udp", "http"]
AddressClass = Literal["private", "loopback"]
Block = Literal["filesystem", "network", "mcp"]
HomeKind = Literal["real", "private", "fresh"]
WorkspaceKind = Literal["direct", "overlay"]
Comparison = Literal["<", "<=", ">", ">=", "==", "!="]
JsonType = Literal["string", "number", "boolean", "array", "object", "null"]

FILE_ACTIONS: tuple[FileAction, ...] = ("read", "write", "create", "delete", "execute")
"""What `any` stands for in a file rule (F1)."""


class Frozen(BaseModel):
    """Base of all parts of the model: nothing changes after checking, and nothing unknown gets in."""

    model_config = ConfigDict(frozen=True, extra="forbid")


# ---- limits ----------------------------------------------------------------------------


class RateLimit(Frozen):
    """`rate N/UNIT burst B`: a token bucket over requests (S9)."""

    kind: Literal["rate"] = "rate"
    count: int = Field(ge=1)
    unit_ns: int = Field(ge=1)
    burst: int = Field(ge=1)


class ByteRateLimit(Frozen):
    """`upload` or `download`: a token bucket over payload bytes (S9)."""

    kind: Literal["upload", "download"]
    count: int = Field(ge=1)
    unit_ns: int = Field(ge=1)
    burst: int = Field(ge=1)


class CountLimit(Frozen):
    """`connections` open at once, or `max-files` made by the run (N14, F8)."""

    kind: Literal["connections", "max-files"]
    count: int = Field(ge=1)


class SizeLimit(Frozen):
    """`max-file`, `max-total` or `max-message` in bytes (F8, M4)."""

    kind: Literal["max-file", "max-total", "max-message"]
    bytes: int = Field(ge=1)


Limit = Annotated[RateLimit | ByteRateLimit | CountLimit | SizeLimit, Field(discriminator="kind")]


class ByteRate(Frozen):
    """Bytes in a span of nanoseconds, for block device traffic (L1)."""

    count: int = Field(ge=1)
    unit_ns: int = Field(ge=1)


class Resources(Frozen):
    """Effective resources of a run (L1): bytes, thousandths of a core, counts and nanoseconds."""

    memory: int
    swap: int
    disk: int
    tmp: int
    output: int
    cpu: int
    processes: int
    threads: int
    open_files: int
    cpu_time: int
    wall_time: int
    idle_time: int
    io_read: ByteRate | None
    io_write: ByteRate | None


class Limits(Frozen):
    """Effective limits: of the blocks, and of the run with the defaults filled in."""

    filesystem: tuple[Limit, ...]
    network: tuple[Limit, ...]
    mcp: tuple[Limit, ...]
    resources: Resources
    stated: tuple[str, ...]
    """The resource keys that some policy of the ancestry states (L2)."""


# ---- conditions of MCP rules -----------------------------------------------------------


class ExactNumber(Frozen):
    """A number of a condition: a decimal in shortest form, never rounded (M3)."""

    number: str


Scalar = str | bool | ExactNumber | None


class PathTest(Frozen):
    """`matches path`; `downward` is worked out from the effect and the parity of `not` (M3)."""

    kind: Literal["path"] = "path"
    pattern: str
    downward: bool


class PatternTest(Frozen):
    """`matches host` or `matches text`."""

    kind: Literal["host", "text"]
    pattern: str


class CompareTest(Frozen):
    """`arg n <= 1000`, `arg m == "x"`."""

    kind: Literal["compare"] = "compare"
    cmp: Comparison
    value: Scalar


class InTest(Frozen):
    """`arg m in ["a", "b"]`."""

    kind: Literal["in"] = "in"
    values: tuple[Scalar, ...]


class LengthTest(Frozen):
    """`arg s length <= 20`: characters, elements or members."""

    kind: Literal["length"] = "length"
    cmp: Comparison
    count: int


class TypeTest(Frozen):
    """`arg a is string`."""

    kind: Literal["is"] = "is"
    type: JsonType


class ExistsTest(Frozen):
    """`arg a exists`."""

    kind: Literal["exists"] = "exists"


ArgumentTest = Annotated[
    PathTest | PatternTest | CompareTest | InTest | LengthTest | TypeTest | ExistsTest,
    Field(discriminator="kind"),
]


class Combination(Frozen):
    """`and`, `or` and `not` in three-valued logic."""

    op: Literal["and", "or", "not"]
    of: tuple[Condition, ...]


class OnlyArguments(Frozen):
    """`args only [a, b]`."""

    op: Literal["only"] = "only"
    args: tuple[str, ...]


class TestArgument(Frozen):
    """One test of one argument; `arg` is None for `**`, all string leaves."""

    op: Literal["test"] = "test"
    arg: tuple[str, ...] | None
    each: Literal["some", "every"] | None
    test: ArgumentTest


Condition = Annotated[Combination | OnlyArguments | TestArgument, Field(discriminator="op")]
Combination.model_rebuild()


# ---- rules -----------------------------------------------------------------------------


class Rule(Frozen):
    """One effect, action and pattern. Entries of one written rule share their id and their limits (D1)."""

    id: str
    policy: str
    effect: Effect
    action: Action
    pattern: str = ""
    """Normalised pattern, variables bound; empty for `any` hosts and `listen`."""
    kind: HostKind | None = None
    downward: bool = False
    condition: Condition | None = None
    ports: tuple[tuple[int, int], ...] | None = None
    """Inclusive ranges, sorted and joined; None is every port."""
    protocol: Protocol | None = None
    classes: tuple[AddressClass, ...] = ()
    methods: tuple[str, ...] = ()
    url_paths: tuple[str, ...] = ()
    expose: tuple[str, ...] = ()
    inspect: bool = False
    hidden: bool = False
    existing: bool = False
    inert: bool = False
    publish: bool = False
    limits: tuple[Limit, ...] = ()
    because: str | None = None


class SyscallRule(Frozen):
    """System calls with one effect; groups are expanded to kernel names (C1)."""

    id: str
    policy: str
    effect: Effect
    names: tuple[str, ...]
    errno: str | None = None
    kill: bool = False
    because: str | None = None


class PolicyName(Frozen):
    """One policy of the ancestry and all its ancestors, both in topological order (S5)."""

    name: str
    shipped: bool
    ancestors: tuple[str, ...]


class Secret(Frozen):
    """A secret by reference; `hosts` is None for `reveal` (C4)."""

    id: str
    policy: str
    name: str
    source: Literal["keyring", "file", "env"]
    value: str
    hosts: tuple[str, ...] | None


class Environment(Frozen):
    """What of the launcher's environment the agent gets, after `drop` (C3)."""

    keep: tuple[str, ...] = ()
    set: dict[str, str] = Field(default_factory=dict)
    secrets: tuple[Secret, ...] = ()


class Measure(Frozen):
    """What an alert counts (A1): events, bytes, or a share of a limit."""

    kind: Literal["count", "volume", "usage"]
    event: str
    pattern: str | None = None
    threshold: int | None = None
    """Events, bytes or percent; None fires at each event."""
    window_ns: int | None = None


class Alert(Frozen):
    """An alert with its reactions in the order of A2."""

    name: str
    policy: str
    severity: Literal["info", "low", "medium", "high", "critical"]
    measure: Measure
    clear_after_ns: int
    reactions: tuple[str, ...]


class Tripwire(Frozen):
    """A tripwire; its matching is in the rules with effect `tripwire` and the id of this (A3)."""

    id: str
    name: str
    policy: str
    target: Literal["path", "connect", "call"]
    patterns: tuple[str, ...]
    reactions: tuple[str, ...]


class Pin(Frozen):
    """A pinned tool definition; `digest` is None for `on-first-use` (M5)."""

    subject: str
    policy: str
    digest: str | None


class Expectation(Frozen):
    """One request, written as after `expect`, and the outcome that it must have (X1)."""

    outcome: Literal["allow", "deny", "hold"]
    request: str


class Test(Frozen):
    """A `test` block; it runs against the policy that holds it (X2)."""

    __test__ = False  # no test case of ours, whatever a collector thinks of the name

    name: str
    policy: str
    expectations: tuple[Expectation, ...]


class Bindings(Frozen):
    """The values that the policy was bound to: only those that its ancestry mentions."""

    variables: dict[str, str]
    host_sets: dict[str, tuple[str, ...]]
    public_suffix_date: str


# ---- beside the model ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SourceRef:
    """Where a rule is written, and its canonical text before variables are bound."""

    file: str
    line: int
    column: int
    text: str


@dataclass(frozen=True, slots=True)
class PlacedExpectation:
    """One expectation of a test before variables are bound, ready to be asked in every run."""

    test: str
    place: str
    """`file:line:column`."""
    outcome: Literal["allow", "hold", "deny"]
    question: Question


class ReadFile(NamedTuple):
    """A file that loading read: what was read is what is hashed, trusted and used (R1)."""

    path: Path
    sha256: str


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What stands beside the model and changes nothing of its identity."""

    source_map: Mapping[str, SourceRef]
    warnings: tuple[Diagnostic, ...]
    closure: tuple[ReadFile, ...]
    ancestors: tuple[Policy, ...]
    text: str
    take_unbound: Callable[[], Policy]
    expectations: Sequence[PlacedExpectation] = ()
    """Those of the policy's own tests."""
    origin: Origin | None = None
    """None for a model that only checks made."""


class Policy(Frozen):
    """A checked policy, bound to the values of one run."""

    language: Literal[1] = 1
    name: str
    description: str | None = None
    ancestry: tuple[PolicyName, ...]
    """Every policy that takes part, ancestors first and this one last."""
    rules: tuple[Rule, ...]
    limits: Limits
    syscalls: tuple[SyscallRule, ...]
    capabilities: tuple[str, ...]
    environment: Environment
    alerts: tuple[Alert, ...]
    tripwires: tuple[Tripwire, ...]
    tests: tuple[Test, ...]
    pins: tuple[Pin, ...]
    home: HomeKind
    workspace: WorkspaceKind
    accept: tuple[str, ...]
    bindings: Bindings

    _beside: Surroundings | None = PrivateAttr(default=None)

    def attach(self, beside: Surroundings) -> Policy:
        """Puts positions, warnings and the trust digest beside a new model; loading calls it once."""
        self._beside = beside
        return self

    def complete(self, warnings: tuple[Diagnostic, ...], ancestors: tuple[Policy, ...]) -> None:
        """Adds what is known only when the whole ancestry has passed its tests; loading calls it once."""
        self._beside = replace(self._surroundings, warnings=warnings, ancestors=ancestors)

    @property
    def _surroundings(self) -> Surroundings:
        if self._beside is None:
            raise ValueError("this model was not made by loading a policy: it has no source positions")
        return self._beside

    @cached_property
    def unbound(self) -> Policy:
        """The same policy before variables are bound: equal in every run and for every user."""
        return self._surroundings.take_unbound()

    @cached_property
    def trust_digest(self) -> str:
        """SHA-256 of the unbound model's canonical JSON without prose and positions (D2), 64 hex digits."""
        return digest(identity_document(self.unbound))

    @cached_property
    def identity(self) -> str:
        """SHA-256 over the trust digest and the values that it is bound to (D2), 64 hex digits."""
        return policy_identity(self.trust_digest, self.bindings.variables)

    @property
    def ancestors(self) -> tuple[Policy, ...]:
        """Each policy of the ancestry but this one as a model of its own, ancestors first."""
        return self._surroundings.ancestors

    @property
    def source_map(self) -> Mapping[str, SourceRef]:
        """Positions by rule id."""
        return self._surroundings.source_map

    @property
    def warnings(self) -> tuple[Diagnostic, ...]:
        """Findings that do not refuse the policy."""
        return self._surroundings.warnings

    @property
    def origin(self) -> Origin:
        """The statements and the text that this policy was read from.

        Raises:
            ValueError: If the model was not made by loading a policy.
        """
        if self._surroundings.origin is None:
            raise ValueError("this model was not made by loading a policy: it has no text")
        return self._surroundings.origin

    @property
    def closure(self) -> tuple[ReadFile, ...]:
        """Each file that was read, in the order of reading; not part of the identity."""
        return self._surroundings.closure

    def text(self) -> str:
        """Gives the policy as one text that loads to the same identity: its own file's ancestors included."""
        return self._surroundings.text

    @cached_property
    def compiled_form(self) -> bytes:
        """The compiled form, variables not bound (docs/reference/compiled-form.md)."""
        from .lower import compiled_form

        beside = self._surroundings
        return compiled_form(
            self.unbound, beside.source_map, self.trust_digest, self.bindings.variables, beside.expectations
        )

    def compile(self) -> Engine:
        """Gives the decision engine of this policy."""
        return Engine(self.compiled_form, self.bindings.variables)


def identity_document(policy: Policy) -> Json:
    """Gives what the trust digest is taken of: all but `description` and `because` (D2)."""
    document = policy.model_dump(
        mode="json",
        exclude={
            "description": True,
            "rules": {"__all__": {"because"}},
            "syscalls": {"__all__": {"because"}},
        },
    )
    return cast("Json", document)
