"""The decision core, built from rust/python: conversions only; `replicante.errors` has the exceptions."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Literal, TypeAlias, final

_Action: TypeAlias = str
_Scalar: TypeAlias = bool | int | float | Decimal | str | None
_Json: TypeAlias = _Scalar | Sequence[_Json] | Mapping[str, _Json]
_Read: TypeAlias = bool | int | Decimal | str | list[_Read] | dict[str, _Read] | None
_Effect: TypeAlias = Literal["allow", "hold", "deny"]
_Protocol: TypeAlias = Literal["tcp", "udp", "http"]
_Reason: TypeAlias = Literal[
    "allow-rule", "hold-rule", "deny-rule", "never", "tripwire", "no-allow-rule", "undecidable"
]

__all__ = [
    "Decision",
    "Engine",
    "Explanation",
    "Glob",
    "HostPattern",
    "JournalReader",
    "NearestAllow",
    "RateLimit",
    "RuleRef",
    "__version__",
    "check_host_pattern",
    "check_path_pattern",
    "contains_home",
    "is_public_suffix",
    "normalize_host",
    "normalize_path",
    "pack_policy",
    "parse_cidr",
    "parse_json",
    "policy_identity",
    "public_suffix_date",
    "seccomp_program",
    "syscall_groups",
    "syscall_names",
    "variable_problem",
]

__version__: str

@final
class RuleRef:
    """A rule as written. Two are equal if all their attributes are.

    Attributes:
        id: `policy/name` (T9).
        file: The file as it was named when it was read.
        line: From 1.
        column: From 1, in characters.
        because: What the rule's author says about it.
    """

    @property
    def id(self) -> str: ...
    @property
    def file(self) -> str: ...
    @property
    def line(self) -> int: ...
    @property
    def column(self) -> int: ...
    @property
    def because(self) -> str | None: ...
    def __hash__(self) -> int: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...

@final
class NearestAllow:
    """The allow rule of the same action with the fewest differing parts (§14).

    Attributes:
        rule: The rule.
        differs: One line for each differing part, at least one, for example
            `host differs: @forges does not contain x.example`.
    """

    @property
    def rule(self) -> RuleRef: ...
    @property
    def differs(self) -> list[str]: ...
    def __hash__(self) -> int: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...

@final
class Decision:
    """What the engine answered, with all limits full (S9).

    Attributes:
        effect: The outcome.
        allowed: Whether the request goes ahead at once: a held one does not.
        reason: Why, in a word of policy-language §14.
        rule: The rule that decided; None for `no-allow-rule` and `undecidable`.
        nearest_allow: For `no-allow-rule` the nearest allow rule of the action, if it has any. Worked out
            when it is read, in time linear in the policy.
    """

    @property
    def effect(self) -> _Effect: ...
    @property
    def allowed(self) -> bool: ...
    @property
    def reason(self) -> _Reason: ...
    @property
    def rule(self) -> RuleRef | None: ...
    @property
    def nearest_allow(self) -> NearestAllow | None: ...

@final
class Explanation:
    """A decision with what stands around it (§14).

    Attributes:
        outcome: As `Decision.effect`.
        reason: As `Decision.reason`.
        rule: As `Decision.rule`.
        would_allow: The allow rules that match although the request is not allowed.
        nearest_allow: As `Decision.nearest_allow`.
        lifted_by: The line of a child policy that would allow the request, as `Engine.fix`.
    """

    @property
    def outcome(self) -> _Effect: ...
    @property
    def reason(self) -> _Reason: ...
    @property
    def rule(self) -> RuleRef | None: ...
    @property
    def would_allow(self) -> list[RuleRef]: ...
    @property
    def nearest_allow(self) -> NearestAllow | None: ...
    @property
    def lifted_by(self) -> str | None: ...

@final
class Engine:
    """A compiled policy, ready to decide. Immutable; threads may share it.

    Args:
        compiled: The compiled form, as docs/reference/compiled-form.md says.
        variables: Values of the variables that it lists (T6).

    Raises:
        PolicyError: The bytes are no compiled form of this version, or a value is missing or can't be used.
    """

    def __new__(cls, compiled: bytes, variables: Mapping[str, str] | None = None, /) -> Engine: ...
    @staticmethod
    def from_packed(packed: bytes, variables: Mapping[str, str], /) -> Engine:
        """The engine of a packed form.

        Args:
            packed: Of `pack_policy`.
            variables: Values of the variables that it lists (T6).

        Raises:
            PolicyError: The bytes are no packed form of this version, or a value is missing or can't be used.
        """

    @property
    def identity(self) -> str:
        """The identity of the bound policy (D2), 64 hex digits."""

    def decide(
        self,
        action: _Action,
        resource: str,
        *,
        via: Sequence[str] = (),
        port: int | None = None,
        protocol: _Protocol = "tcp",
        method: str | None = None,
        path: str | None = None,
        resolves: Sequence[str] | None = None,
        cname: Sequence[str] = (),
        arguments: Mapping[str, _Json] | None = None,
        made: bool = False,
    ) -> Decision:
        """Decides one request. Total: what can't be decided is denied as `undecidable`.

        Args:
            action: The word after `expect` (X1): `read`, `connect`, `connect unix`, `call`, …
            resource: A canonical path, a host, `server:subject` or a call's name; empty for `listen`.
            via: Further literal names of the same object (F5).
            port: 1 to 65535; a connection without one is undecidable.
            protocol: What is spoken.
            method: The HTTP method; None as long as it was not seen.
            path: The HTTP path, as it was sent; None as long as it was not seen.
            resolves: The addresses of the name; None stands for one public address.
            cname: The names on the way from the name to its addresses.
            arguments: Of the tool call; numbers are exact.
            made: Whether the run made the object itself (D2).

        Raises:
            ValueError: An unknown action or protocol, or arguments that are not JSON.
        """
    def decide_many(self, action: _Action, resources: Sequence[str], /) -> list[Decision]:
        """Decides the same action on each resource, as `decide` without keywords does."""
    def explain(
        self,
        action: _Action,
        resource: str,
        *,
        via: Sequence[str] = (),
        port: int | None = None,
        protocol: _Protocol = "tcp",
        method: str | None = None,
        path: str | None = None,
        resolves: Sequence[str] | None = None,
        cname: Sequence[str] = (),
        arguments: Mapping[str, _Json] | None = None,
        made: bool = False,
    ) -> Explanation:
        """Decides one request and tells what stands around the decision. Arguments as for `decide`."""
    def fix(
        self,
        action: _Action,
        resource: str,
        *,
        via: Sequence[str] = (),
        port: int | None = None,
        protocol: _Protocol = "tcp",
        method: str | None = None,
        path: str | None = None,
        resolves: Sequence[str] | None = None,
        cname: Sequence[str] = (),
        arguments: Mapping[str, _Json] | None = None,
        made: bool = False,
    ) -> str | None:
        """Gives the one line of a child policy that would allow a refused request.

        None if it is allowed, or if no line helps: a `never` rule, a tripwire, an undecidable request. The
        line was checked by deciding the request again. Arguments as for `decide`.
        """

@final
class Glob:
    """A path pattern whose variables are bound (F3).

    Raises:
        PatternError: P030, P031, P032 or P034.
    """

    def __new__(cls, pattern: str, /) -> Glob: ...
    def matches(self, path: str, /) -> bool:
        """Tells whether the pattern matches exactly this canonical path, else raises `PathError`."""

@final
class HostPattern:
    """A host pattern (N2): a name, perhaps with `*` or `**` as its first label, an address or a block.

    Raises:
        PatternError: P035 to P038.
    """

    def __new__(cls, pattern: str, /) -> HostPattern: ...
    def matches(self, host: str, /) -> bool:
        """Tells whether the pattern matches exactly this name or address, else raises `HostError`."""

@final
class RateLimit:
    """A token bucket by the generic cell rate algorithm (D4): in no window more than burst + rate.

    Threads may share it.

    Args:
        count: Tokens for each `per_seconds`, at least 1.
        per_seconds: At least 1.
        burst: The most tokens at once, at least 1.

    Raises:
        ValueError: One of them is 0.
    """

    def __new__(cls, count: int, per_seconds: int, burst: int) -> RateLimit: ...
    def check(self, now_ns: int, n: int = 1) -> bool:
        """Takes `n` tokens if they are there, and tells whether they were; a refusal costs nothing.

        Args:
            now_ns: Nanoseconds of one monotonic clock.
            n: How many.
        """

@final
class JournalReader:
    """Verifies the frames of one journal, from its start on."""

    def __new__(cls) -> JournalReader: ...
    def read(self, data: bytes, /) -> tuple[list[bytes], int]:
        """Reads the whole frames at the start of `data`: their lines, and how many bytes they take.

        Bytes behind them are a torn write, or one that goes on: give them again, with what follows.

        Raises:
            ValueError: A frame was altered or does not continue the chain; the reader stands where it stood.
        """

def normalize_path(path: str, /) -> str:
    """Gives the canonical form of a path, which is the path itself (F4).

    Raises:
        PathError: It is not canonical.
    """

def normalize_host(host: str, /) -> str:
    """Gives the canonical form of a host name or address (N4, N5).

    Raises:
        HostError: It has none.
    """

def check_path_pattern(pattern: str, /) -> None:
    """Checks a path pattern whose variables are bound (F3).

    Raises:
        PatternError: P030, P031, P032 or P034.
    """

def check_host_pattern(pattern: str, /) -> None:
    """Checks a host pattern (N2).

    Raises:
        PatternError: P035 to P038.
    """

def is_public_suffix(name: str, /) -> bool:
    """Tells whether a normalised name is itself a public suffix, by either section of the list (N3)."""

def public_suffix_date() -> str:
    """Gives which public suffix list is built in."""

def parse_cidr(text: str, /) -> str:
    """Gives the canonical text of an address or block in strict form (N5).

    Raises:
        PatternError: P038.
    """

def parse_json(text: str | bytes, /) -> _Read:
    """Reads one JSON value strictly (M4): no duplicate keys, at most 64 levels, exact numbers.

    Raises:
        ValueError: What is wrong, and at which byte.
    """

def syscall_groups() -> dict[str, list[str]]:
    """Gives the closed set of system call groups (C1): name with `@`, then its calls, sorted."""

def syscall_names() -> list[str]:
    """Gives the names of all calls of every architecture that runs agents, sorted."""

def seccomp_program(engine: Engine, /) -> list[tuple[int, int, int, int]]:
    """Gives the seccomp filter of a policy for this machine's processor.

    Classic BPF: `(code, jt, jf, k)` each.

    Raises:
        ValueError: Agents can't run on this processor.
    """

def pack_policy(compiled: bytes, /) -> bytes:
    """The packed form of a compiled form: what the shim reads.

    Raises:
        PolicyError: The bytes are no compiled form of this version.
    """

def policy_identity(trust_digest: str, variables: Mapping[str, str], /) -> str:
    """The identity of a bound policy (D2), from its trust digest and its values; 64 hex digits."""

def variable_problem(name: str, value: str, /) -> str | None:
    """What is wrong with the value of a variable (T6), or None."""

def contains_home(workspace: str, home: str | None, /) -> bool:
    """Whether a workspace is `/`, the home directory or above it (P041)."""
