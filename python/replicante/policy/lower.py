"""From the model to the compiled form, as docs/reference/compiled-form.md says."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import TypeAlias, cast

from .bind import unbound_text
from .canonical import canonical_json
from .model import (
    FILE_ACTIONS,
    Alert,
    ArgumentTest,
    ByteRate,
    Combination,
    CompareTest,
    Condition,
    ExactNumber,
    InTest,
    LengthTest,
    Limit,
    OnlyArguments,
    PathTest,
    PatternTest,
    Pin,
    PlacedExpectation,
    Policy,
    Resources,
    Rule,
    Scalar,
    Secret,
    SourceRef,
    SyscallRule,
    Tripwire,
    TypeTest,
)
from .requests import Argument

Form: TypeAlias = "bool | int | str | Decimal | list[Form] | dict[str, Form] | None"
"""A JSON value of the compiled form; decimals are exact and written without rounding."""

FORMAT = 2
"""Version of the compiled form."""

_HOST_ACTIONS = frozenset({"connect", "resolve"})
_MCP_ACTIONS = frozenset({"call", "resource", "prompt", "sampling", "elicitation", "roots"})


def compiled_form(
    policy: Policy,
    places: Mapping[str, SourceRef],
    trust_digest: str,
    variables: Iterable[str],
    expectations: Iterable[PlacedExpectation] = (),
) -> bytes:
    """Gives the compiled form of a policy as UTF-8 JSON, the same bytes for the same policy.

    Args:
        policy: The model before variables are bound.
        places: Where each of its rules is written.
        trust_digest: Of D2, 64 hex digits.
        variables: The names that it mentions; an engine binds them to values.
        expectations: Of the policy's own tests, which hold in every run (R1).
    """
    numbering = _Numbering(policy, places)
    document: dict[str, Form] = {
        "format": FORMAT,
        "name": policy.name,
        "trust_digest": trust_digest,
        "policies": numbering.policies(),
        "rules": [*(_rule(rule, numbering) for rule in policy.rules), *_syscalls(policy.syscalls, numbering)],
        "blocks": {
            "filesystem": numbering.buckets_of("", "filesystem", policy.limits.filesystem),
            "network": numbering.buckets_of("", "network", policy.limits.network),
            "mcp": numbering.buckets_of("", "mcp", policy.limits.mcp),
        },
        "resources": _resources(policy.limits.resources),
        "stated": list(policy.limits.stated),
        "home": policy.home,
        "workspace": policy.workspace,
        "accept": list(policy.accept),
        "environment": {
            "keep": list(policy.environment.keep),
            "set": dict[str, Form](policy.environment.set),
            "secrets": [_secret(secret, numbering) for secret in policy.environment.secrets],
        },
        "capabilities": list(policy.capabilities),
        "alerts": [_alert(alert) for alert in policy.alerts],
        "tripwires": [_tripwire(tripwire, numbering) for tripwire in policy.tripwires],
        "pins": [_pin(pin) for pin in policy.pins],
        "tests": [_expectation(expectation) for expectation in expectations],
        "variables": list[Form](sorted(variables)),
        "host_sets": {name: list(hosts) for name, hosts in policy.bindings.host_sets.items()},
        "public_suffix_date": policy.bindings.public_suffix_date,
    }
    document["sources"] = numbering.sources()
    document["buckets"] = numbering.buckets()
    return _encode(document)


class _Numbering:
    """Gives policies, sources and buckets their indices, in the order in which they are first named."""

    def __init__(self, policy: Policy, places: Mapping[str, SourceRef]) -> None:
        self._policy = policy
        self._policies = {entry.name: index for index, entry in enumerate(policy.ancestry)}
        self._sources: dict[str, int] = {}
        self._source_rows: list[Form] = []
        self._buckets: dict[tuple[str, int, str], int] = {}
        self._bucket_rows: list[Form] = []
        self._source_map = places

    def policies(self) -> list[Form]:
        return [
            {
                "name": entry.name,
                "shipped": entry.shipped,
                "ancestors": [self._policies[name] for name in entry.ancestors],
            }
            for entry in self._policy.ancestry
        ]

    def source(self, rule_id: str, policy: str, because: str | None) -> int:
        if rule_id not in self._sources:
            ref = self._source_map[rule_id]
            self._sources[rule_id] = len(self._source_rows)
            self._source_rows.append(
                {
                    "id": rule_id,
                    "policy": self._policies[policy],
                    "file": ref.file,
                    "line": ref.line,
                    "column": ref.column,
                    "because": because,
                    "text": ref.text,
                }
            )
        return self._sources[rule_id]

    def buckets_of(self, owner: str, part: str, limits: Iterable[Limit]) -> list[Form]:
        return [self._bucket(owner, index, part, limit) for index, limit in enumerate(limits)]

    def _bucket(self, owner: str, index: int, part: str, limit: Limit) -> int:
        key = (owner, index, part)
        if key not in self._buckets:
            self._buckets[key] = len(self._bucket_rows)
            self._bucket_rows.append(cast("Form", limit.model_dump(mode="json")))
        return self._buckets[key]

    def sources(self) -> list[Form]:
        return self._source_rows

    def buckets(self) -> list[Form]:
        return self._bucket_rows


def _rule(rule: Rule, numbering: _Numbering) -> Form:
    row: dict[str, Form] = {
        "source": numbering.source(rule.id, rule.policy, rule.because),
        "effect": rule.effect,
        "action": rule.action,
    }
    if rule.pattern:
        row["pattern"] = rule.pattern
    if rule.downward:
        row["downward"] = True
    if rule.action in FILE_ACTIONS:
        _flags(row, hidden=rule.hidden, existing=rule.existing, inert=rule.inert)
    elif rule.action in _HOST_ACTIONS:
        _host_keys(row, rule)
    elif rule.action == "listen":
        _ports(row, rule)
        _flags(row, publish=rule.publish)
    elif rule.action in _MCP_ACTIONS:
        if rule.condition is not None:
            row["condition"] = _condition(rule.condition)
        if rule.expose:
            row["expose"] = list(rule.expose)
    if rule.limits:
        row["limits"] = numbering.buckets_of(rule.id, "rule", rule.limits)
    return row


def _host_keys(row: dict[str, Form], rule: Rule) -> None:
    row["kind"] = rule.kind
    _ports(row, rule)
    if rule.protocol is not None:
        row["protocol"] = rule.protocol
    if rule.classes:
        row["classes"] = list(rule.classes)
    if rule.methods:
        row["methods"] = list(rule.methods)
    if rule.url_paths:
        row["url_paths"] = list(rule.url_paths)
    _flags(row, inspect=rule.inspect)


def _ports(row: dict[str, Form], rule: Rule) -> None:
    if rule.ports is not None:
        row["ports"] = [[low, high] for low, high in rule.ports]


def _flags(row: dict[str, Form], **flags: bool) -> None:
    row.update({name: True for name, is_set in flags.items() if is_set})


def _syscalls(rules: Iterable[SyscallRule], numbering: _Numbering) -> Iterable[Form]:
    for rule in rules:
        row: dict[str, Form] = {
            "source": numbering.source(rule.id, rule.policy, rule.because),
            "effect": rule.effect,
            "action": "syscall",
            "names": list(rule.names),
        }
        if rule.errno is not None:
            row["errno"] = rule.errno
        _flags(row, kill=rule.kill)
        yield row


def _condition(condition: Condition) -> Form:
    if isinstance(condition, Combination):
        return {"op": condition.op, "of": [_condition(part) for part in condition.of]}
    if isinstance(condition, OnlyArguments):
        return {"op": "only", "args": list(condition.args)}
    return {
        "op": "test",
        "arg": None if condition.arg is None else list(condition.arg),
        "each": condition.each,
        "test": _test(condition.test),
    }


def _test(test: ArgumentTest) -> Form:
    match test:
        case PathTest():
            return {"kind": "path", "pattern": test.pattern, "downward": test.downward}
        case PatternTest():
            return {"kind": test.kind, "pattern": test.pattern}
        case CompareTest():
            return {"kind": "compare", "cmp": test.cmp, "value": _scalar(test.value)}
        case InTest():
            return {"kind": "in", "values": [_scalar(value) for value in test.values]}
        case LengthTest():
            return {"kind": "length", "cmp": test.cmp, "count": test.count}
        case TypeTest():
            return {"kind": "is", "type": test.type}
        case _:
            return {"kind": "exists"}


def _scalar(scalar: Scalar) -> Form:
    return Decimal(scalar.number) if isinstance(scalar, ExactNumber) else scalar


def _resources(resources: Resources) -> Form:
    return {
        "memory": resources.memory,
        "swap": resources.swap,
        "disk": resources.disk,
        "tmp": resources.tmp,
        "output": resources.output,
        "cpu": resources.cpu,
        "processes": resources.processes,
        "threads": resources.threads,
        "open-files": resources.open_files,
        "cpu-time": resources.cpu_time,
        "wall-time": resources.wall_time,
        "idle-time": resources.idle_time,
        "io-read": _byte_rate(resources.io_read),
        "io-write": _byte_rate(resources.io_write),
    }


def _byte_rate(rate: ByteRate | None) -> Form:
    return None if rate is None else {"count": rate.count, "unit_ns": rate.unit_ns}


def _secret(secret: Secret, numbering: _Numbering) -> Form:
    return {
        "name": secret.name,
        "source": numbering.source(secret.id, secret.policy, None),
        "from": {"kind": secret.source, "value": secret.value},
        "for": None if secret.hosts is None else list(secret.hosts),
    }


def _alert(alert: Alert) -> Form:
    return cast("Form", alert.model_dump(mode="json"))


def _tripwire(tripwire: Tripwire, numbering: _Numbering) -> Form:
    return {
        "name": tripwire.name,
        "source": numbering.source(tripwire.id, tripwire.policy, None),
        "reactions": list(tripwire.reactions),
    }


def _pin(pin: Pin) -> Form:
    return cast("Form", pin.model_dump(mode="json"))


def _expectation(expectation: PlacedExpectation) -> Form:
    question = expectation.question
    context: dict[str, Form] = {
        "via": list(map(unbound_text, question.via)),
        "port": question.port,
        "protocol": question.protocol,
        "method": question.method,
        "path": None if question.path is None else unbound_text(question.path),
        "resolves": None if question.resolves is None else list(map(unbound_text, question.resolves)),
        "cname": list(map(unbound_text, question.cname)),
        "made": question.made,
    }
    return {
        "test": expectation.test,
        "place": expectation.place,
        "expect": expectation.outcome,
        "action": question.action.replace(" ", "-"),
        "resource": unbound_text(question.resource),
        "context": context,
        "arguments": _exact(_unbound(question.arguments)),
    }


def _unbound(value: Argument) -> Form:
    if isinstance(value, str):
        return unbound_text(value)
    if isinstance(value, list):
        return [_unbound(item) for item in value]
    if isinstance(value, dict):
        return {key: _unbound(member) for key, member in value.items()}
    return value


def _encode(document: Form) -> bytes:
    """Writes the form; only a row with a fraction needs the slow writer, since `json` would round it."""
    if not isinstance(document, dict):
        return _exact(document).encode("utf-8")
    parts: list[bytes] = []
    for key in sorted(document):
        value = document[key]
        text = b"[" + b",".join(map(_row, value)) + b"]" if isinstance(value, list) else _row(value)
        parts.append(json.dumps(key).encode("ascii") + b":" + text)
    return b"{" + b",".join(parts) + b"}"


def _row(row: Form) -> bytes:
    try:
        return canonical_json(cast("None", row))  # the cast hides the decimals: they raise TypeError
    except TypeError:
        return _exact(row).encode("utf-8")


def _exact(value: Form) -> str:
    if isinstance(value, dict):
        members = (f"{json.dumps(key)}:{_exact(value[key])}" for key in sorted(value))
        return "{" + ",".join(members) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_exact, value)) + "]"
    if isinstance(value, Decimal):
        return str(value)  # JSON's own syntax: digits, fraction and an exponent with its sign
    return json.dumps(value, ensure_ascii=False)
