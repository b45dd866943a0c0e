"""The statements of one policy after binding: what inheritance and checks work on.

Each statement is kept twice: bound to the values of this run, and symbolic, with `${variables}` as written. A
statement that mentions no variable has the same object in both places, so the trust digest costs little.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, Literal, TypeVar

from .diagnostics import Span
from .inherit import Stated
from .model import (
    Alert,
    Block,
    ByteRate,
    HomeKind,
    Limit,
    Pin,
    Rule,
    Secret,
    SourceRef,
    SyscallRule,
    Test,
    Tripwire,
    WorkspaceKind,
)

if TYPE_CHECKING:
    from .requests import Question

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Both(Generic[T]):
    """A part of the model as bound in this run, and before binding."""

    bound: T
    symbolic: T


@dataclass(frozen=True, slots=True)
class RuleStatement:
    """One rule as written: its entries, and the parts that only checks need."""

    id: str
    label: str | None
    rules: Both[tuple[Rule, ...]]
    limits: tuple[Limit, ...]
    span: Span
    keyword: Span
    """The word `allow`, `deny`, … where a fix-it puts `override`."""


@dataclass(frozen=True, slots=True)
class SyscallStatement:
    """One rule of the `syscalls` block."""

    rule: SyscallRule
    span: Span
    keyword: Span


@dataclass(frozen=True, slots=True)
class RuleLimits:
    """`override limits of LABEL …`."""

    reference: str
    """`label` or `policy/label`, as written."""
    limits: tuple[Limit, ...]
    span: Span
    rule_id: str = ""
    """The rule that is meant; empty until the ancestry is known, and where it knows no such rule."""


@dataclass(frozen=True, slots=True)
class EnvironmentName:
    """A name or prefix after `keep` or `drop` in the environment, or a capability."""

    name: str
    span: Span
    override: bool = False


@dataclass(frozen=True, slots=True)
class SetVariable:
    """`set NAME "VALUE"`."""

    name: str
    value: Both[str]
    span: Span


@dataclass(frozen=True, slots=True)
class TestRun:
    """One expectation, ready to be asked."""

    __test__ = False  # no test case of ours, whatever a collector thinks of the name

    test: str
    outcome: Literal["allow", "hold", "deny"]
    question: Both[Question]
    span: Span


@dataclass(slots=True)
class OwnStatements:
    """All that one policy says itself, in the order written."""

    policy: str
    description: str | None = None
    rules: list[RuleStatement] = field(default_factory=list[RuleStatement])
    syscalls: list[SyscallStatement] = field(default_factory=list[SyscallStatement])
    block_limits: dict[Block, list[Stated[Limit]]] = field(default_factory=dict[Block, list[Stated[Limit]]])
    rule_limits: list[RuleLimits] = field(default_factory=list[RuleLimits])
    resources: dict[str, Stated[int | ByteRate]] = field(default_factory=dict[str, Stated[int | ByteRate]])
    home: Stated[HomeKind] | None = None
    workspace: Stated[WorkspaceKind] | None = None
    accept: list[str] = field(default_factory=list[str])
    capabilities_keep: list[EnvironmentName] = field(default_factory=list[EnvironmentName])
    capabilities_drop: list[EnvironmentName] = field(default_factory=list[EnvironmentName])
    environment_keep: list[EnvironmentName] = field(default_factory=list[EnvironmentName])
    environment_drop: list[EnvironmentName] = field(default_factory=list[EnvironmentName])
    environment_set: list[SetVariable] = field(default_factory=list[SetVariable])
    secrets: list[tuple[Both[Secret], Span]] = field(default_factory=list[tuple[Both[Secret], Span]])
    alerts: list[tuple[Both[Alert], Span]] = field(default_factory=list[tuple[Both[Alert], Span]])
    tripwires: list[tuple[Both[Tripwire], Span]] = field(default_factory=list[tuple[Both[Tripwire], Span]])
    pins: list[Both[Pin]] = field(default_factory=list[Both[Pin]])
    tests: list[Both[Test]] = field(default_factory=list[Both[Test]])
    test_runs: list[TestRun] = field(default_factory=list[TestRun])
    sources: dict[str, SourceRef] = field(default_factory=dict[str, SourceRef])
    """Positions of everything that has a rule id."""
    variables: set[str] = field(default_factory=set[str])
    """The variables that the policy mentions."""
    host_sets: set[str] = field(default_factory=set[str])
    """The host sets that the policy mentions."""
