"""What stands behind the head of a rule, and what reading a policy's statements needs (T9)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from . import ast
from .bind import Binder
from .canonical import sha256_hex
from .checks.names import did_you_mean
from .diagnostics import Span
from .findings import Findings
from .limits import default_burst, default_byte_burst
from .model import (
    AddressClass,
    ByteRateLimit,
    CountLimit,
    Limit,
    Protocol,
    RateLimit,
    SizeLimit,
    SourceRef,
)
from .statements import OwnStatements

_ID_DIGITS = 8


@dataclass(slots=True)
class Clauses:
    """The clauses of one rule, each in its one place."""

    label: ast.Word | None = None
    because: str | None = None
    flags: set[str] = field(default_factory=set[str])
    """`exactly`, `hidden`, `existing`, `unless-inert`, `inspect`, `publish`."""
    ports: tuple[tuple[int, int], ...] | None = None
    protocol: Protocol | None = None
    methods: tuple[str, ...] = ()
    url_paths: tuple[ast.StringLiteral, ...] = ()
    classes: tuple[AddressClass, ...] = ()
    condition: ast.Condition | None = None
    limits: tuple[Limit, ...] = ()


def read_clauses(clauses: Iterable[ast.Clause]) -> Clauses:
    """Sorts the clauses of a rule; that each may stand there is checked by the parser (P013, P014)."""
    found = Clauses()
    limits: list[ast.Limit] = []
    for clause in clauses:
        match clause:
            case ast.Label():
                found.label = clause.name
            case ast.Because():
                found.because = clause.text.plain()
            case ast.Flag():
                found.flags.add(clause.kind)
            case ast.Port():
                found.ports = joined_ports((port.low, port.high) for port in clause.ranges)
            case ast.ProtocolClause():
                found.protocol = clause.protocol
            case ast.Method():
                found.methods = tuple(sorted({word.text for word in clause.methods}))
            case ast.UrlPath():
                found.url_paths = clause.patterns
            case ast.To():
                found.classes = cast(
                    "tuple[AddressClass, ...]", tuple(sorted({word.text for word in clause.classes}))
                )
            case ast.Where():
                found.condition = clause.condition
            case _:
                limits.append(clause)
    found.limits = read_limits(limits)
    return found


def read_limits(limits: Sequence[ast.Limit]) -> tuple[Limit, ...]:
    """Gives limits as the model holds them: defaults of bursts filled in, in the order of their kinds."""
    return tuple(sorted((_limit(limit) for limit in limits), key=lambda limit: limit.kind))


def _limit(limit: ast.Limit) -> Limit:
    match limit:
        case ast.RateLimit():
            burst = default_burst(limit.rate.count) if limit.burst is None else limit.burst.value
            return RateLimit(count=limit.rate.count, unit_ns=limit.rate.unit_ns, burst=burst)
        case ast.TransferLimit():
            burst = default_byte_burst(limit.rate.count) if limit.burst is None else limit.burst.value
            return ByteRateLimit(
                kind=limit.kind, count=limit.rate.count, unit_ns=limit.rate.unit_ns, burst=burst
            )
        case ast.CountLimit():
            return CountLimit(kind=limit.kind, count=limit.count.value)
        case ast.SizeLimit():
            return SizeLimit(kind=limit.kind, bytes=limit.size.value)


def joined_ports(ranges: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Gives ranges sorted, with those that touch joined, so that equal sets of ports are equal."""
    found: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if found and low <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(high, found[-1][1]))
        else:
            found.append((low, high))
    return tuple(found)


@dataclass(slots=True)
class Reading:
    """The reading of one policy's statements: what is known, and what was found so far."""

    policy: str
    file: str
    binder: Binder
    findings: Findings
    host_sets: Mapping[str, tuple[str, ...]]
    own: OwnStatements
    labels: set[str] = field(default_factory=set[str])

    def rule_id(self, label: ast.Word | None, action: str, text: str) -> str:
        """Gives a rule its id: its label, or its action and the digest of its canonical text (T9)."""
        if label is None:
            return f"{self.policy}/{action}.{sha256_hex(text.encode('utf-8'))[:_ID_DIGITS]}"
        self.take_label(label)
        return f"{self.policy}/{label.text}"

    def take_label(self, label: ast.Word) -> None:
        """Notes a label or the name of a tripwire; both are the second part of an id, so none comes twice."""
        if label.text in self.labels:
            message = f"the name `{label.text}` is used twice in this policy"
            self.findings.error("P016", label.span, message, rule="T9")
        self.labels.add(label.text)

    def place(self, rule_id: str, span: Span, text: str) -> None:
        """Notes where a rule is written; the first of two equal rules keeps its place."""
        self.own.sources.setdefault(rule_id, SourceRef(self.file, span.line, span.column, text))

    def host_set(self, host: ast.HostSet) -> tuple[str, ...]:
        """Gives the hosts of a set, none after telling that there is no such set (N15)."""
        hosts = self.host_sets.get(host.name)
        if hosts is None:
            meant = did_you_mean(host.name, self.host_sets)
            self.findings.did_you_mean(
                "P044", host.span, f"there is no host set `{host.name}`", meant, rule="N15"
            )
            return ()
        self.own.host_sets.add(host.name)
        return hosts
