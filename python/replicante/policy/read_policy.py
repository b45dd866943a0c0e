"""One policy's statements: from the syntax tree to what inheritance and checks work on."""

from __future__ import annotations

from collections.abc import Mapping

from . import ast
from .bind import Binder, Place
from .checks.names import STAND_INS, did_you_mean
from .checks.patterns import check_host, check_path
from .clauses import Reading, read_limits
from .findings import Findings
from .inherit import Stated
from .limits import RESOURCE_KEYS
from .model import (
    FILE_ACTIONS,
    Action,
    Alert,
    ByteRate,
    Expectation,
    Measure,
    Pin,
    Rule,
    Test,
    Tripwire,
)
from .read_environment import read_capabilities, read_environment, read_syscall_rule
from .read_rules import Target, host_targets, path_target, read_rule, subject_target
from .requests import read_request, request_text
from .rule_text import one_line
from .statements import Both, OwnStatements, RuleLimits, RuleStatement, TestRun

_REACTIONS = ("snapshot", "throttle", "cut", "freeze", "quarantine", "kill", "notify")
"""The order in which reactions are carried out, however written (A2)."""

_MIN_CLEAR_NS = 300 * 1_000_000_000
"""An alert clears after its window, at least five minutes (A1)."""

_HELD_ACTIONS = frozenset({"write", "create", "delete", "call"})


def read_policy(
    policy: ast.Policy,
    file: str,
    variables: Mapping[str, str],
    host_sets: Mapping[str, tuple[str, ...]],
    findings: Findings,
) -> OwnStatements:
    """Reads the statements of one policy; what is wrong in them goes to the findings.

    Args:
        policy: As parsed.
        file: How positions name its file.
        variables: Values of the variables.
        host_sets: Host sets by name with `@`.
        findings: Takes what is wrong.
    """
    own = OwnStatements(policy.name.text)
    binder = Binder(variables, findings)
    reading = Reading(policy.name.text, file, binder, findings, host_sets, own)
    for item in policy.items:
        _read_item(item, reading)
    own.variables |= binder.mentioned
    return own


def _read_item(item: ast.PolicyItem, reading: Reading) -> None:
    own, policy = reading.own, reading.policy
    match item:
        case ast.Description():
            own.description = item.text.plain()
        case ast.Workspace():
            own.workspace = Stated(policy, item.layer, item.is_override, item.span)
        case ast.Home():
            own.home = Stated(policy, item.home, item.is_override, item.span)
        case ast.AcceptWeaker():
            _read_accept(item, reading)
        case ast.Rule():
            read_rule(item, reading)
        case ast.Alert():
            _read_alert(item, reading)
        case ast.Tripwire():
            _read_tripwire(item, reading)
        case ast.Test():
            _read_test(item, reading)
        case ast.RuleBlock():
            _read_rule_block(item, reading)
        case ast.ResourcesBlock():
            for limit in item.items:
                _read_resource(limit, reading)
        case ast.SyscallsBlock():
            for rule in item.items:
                read_syscall_rule(rule, reading)
        case ast.CapabilitiesBlock():
            for rule in item.items:
                read_capabilities(rule, reading)
        case ast.EnvironmentBlock():
            for statement in item.items:
                read_environment(statement, reading)


def _read_rule_block(block: ast.RuleBlock, reading: Reading) -> None:
    for item in block.items:
        match item:
            case ast.Rule():
                read_rule(item, reading)
            case ast.BlockLimit():
                stated = reading.own.block_limits.setdefault(block.kind, [])
                for limit in read_limits(item.limits):
                    stated.append(Stated(reading.policy, limit, item.is_override, item.span))
            case ast.LimitsOf():
                limits = read_limits(item.limits)
                reading.own.rule_limits.append(RuleLimits(item.rule.text, limits, item.rule.span))
            case ast.Pin():
                _read_pin(item, reading)


def _read_accept(item: ast.AcceptWeaker, reading: Reading) -> None:
    for name in item.names:
        if name.text in STAND_INS:
            reading.own.accept.append(name.text)
        else:
            meant = did_you_mean(name.text, STAND_INS)
            message = f"there is no stand-in `{name.text}`"
            reading.findings.did_you_mean("P044", name.span, message, meant, rule="E3")


def _read_resource(item: ast.ResourceLimit, reading: Reading) -> None:
    if item.key not in RESOURCE_KEYS:
        raise ValueError(f"the grammar let the resource `{item.key}` through")
    value = item.value
    amount = (
        ByteRate(count=value.count, unit_ns=value.unit_ns) if isinstance(value, ast.Rate) else value.value
    )
    reading.own.resources[item.key] = Stated(reading.policy, amount, item.is_override, item.span)


def _read_pin(item: ast.Pin, reading: Reading) -> None:
    subject = reading.binder.plain(item.subject, "word")
    digest = None if item.digest is None else item.digest.plain()
    bound = Pin(subject=subject.bound, policy=reading.policy, digest=digest)
    symbolic = bound
    if subject.symbolic is not subject.bound:
        symbolic = Pin(subject=subject.symbolic, policy=reading.policy, digest=digest)
    reading.own.pins.append(Both(bound, symbolic))


def _read_alert(item: ast.Alert, reading: Reading) -> None:
    measure = item.measure
    pattern = None if measure.pattern is None else _alert_pattern(measure, measure.pattern, reading)
    window = None if measure.window is None else measure.window.value
    clear_after = max(_MIN_CLEAR_NS, window or 0) if item.clear_after is None else item.clear_after.value
    reactions = {word.text for word in item.reactions}
    if any(both.bound.name == item.name.text for both, _ in reading.own.alerts):
        message = f"the alert `{item.name.text}` is defined twice"
        reading.findings.error("P016", item.name.span, message, rule="A4")

    def alert(text: str | None) -> Alert:
        return Alert(
            name=item.name.text,
            policy=reading.policy,
            severity=item.severity,
            measure=Measure(
                kind=measure.kind,
                event=measure.event.text,
                pattern=text,
                threshold=None if measure.threshold is None else measure.threshold.value,
                window_ns=window,
            ),
            clear_after_ns=clear_after,
            reactions=tuple(word for word in _REACTIONS if word in reactions),
        )

    bound = alert(None if pattern is None else pattern.bound)
    unbound = bound
    if pattern is not None and pattern.symbolic is not pattern.bound:
        unbound = alert(pattern.symbolic)
    reading.own.alerts.append((Both(bound, unbound), item.name.span))


def _alert_pattern(measure: ast.Measure, literal: ast.StringLiteral, reading: Reading) -> Both[str]:
    kind, _, subject = measure.event.text.partition(".")
    place: Place = "path" if subject == "filesystem" else "word"
    text = reading.binder.pattern(literal, place)
    findings = reading.findings
    if kind == "used" or subject in ("syscall", "resource", "any"):
        findings.error("P013", literal.span, f"`{measure.event.text}` takes no pattern", rule="A1")
    elif subject == "filesystem":
        check_path(text.bound, literal.span, findings)
    elif subject == "network" or kind == "bytes":
        normal = check_host(text.bound, literal.span, findings, grants=False)
        if normal is not None and text.symbolic is text.bound:
            return Both(normal.pattern, normal.pattern)
    return text


def _read_tripwire(item: ast.Tripwire, reading: Reading) -> None:
    name, target = item.name.text, item.target
    rule_id = f"{reading.policy}/{name}"
    reading.take_label(item.name)
    match target:
        case ast.PathTarget():
            actions: tuple[Action, ...] = FILE_ACTIONS
            kind, targets = "path", [path_target(pattern, reading) for pattern in target.patterns]
        case ast.HostTarget():
            actions = ("connect", "resolve")
            kind, targets = "connect", host_targets(target.hosts, reading, grants=False)
        case ast.CallTarget():
            actions = ("call",)
            kind, targets = "call", [subject_target(subject, reading) for subject in target.subjects]

    def rule(action: Action, target: Target, pattern: str) -> Rule:
        return Rule(
            id=rule_id,
            policy=reading.policy,
            effect="tripwire",
            action=action,
            pattern=pattern,
            kind=target.kind,
            downward=action != "call",
        )

    bound = tuple(rule(action, target, target.text.bound) for action in actions for target in targets)
    symbolic = tuple(rule(action, target, target.text.symbolic) for action in actions for target in targets)
    text = one_line(reading.findings.text_of(item.span))
    reading.place(rule_id, item.span, text)
    rules = Both(bound, bound if bound == symbolic else symbolic)
    reading.own.rules.append(RuleStatement(rule_id, name, rules, (), item.span, item.span))
    reactions = {word.text for word in item.reactions}

    def tripwire(patterns: list[str]) -> Tripwire:
        return Tripwire(
            id=rule_id,
            name=name,
            policy=reading.policy,
            target=kind,
            patterns=tuple(sorted(patterns)),
            reactions=tuple(word for word in _REACTIONS if word in reactions),
        )

    both = Both(
        tripwire([target.text.bound for target in targets]),
        tripwire([target.text.symbolic for target in targets]),
    )
    reading.own.tripwires.append((both, item.name.span))


def _read_test(item: ast.Test, reading: Reading) -> None:
    nowhere = Findings(reading.findings.source, item.span)
    symbolic_binder = Binder(reading.binder.values, nowhere, is_symbolic=True)
    bound: list[Expectation] = []
    symbolic: list[Expectation] = []
    for expectation in item.expectations:
        _check_outcome(expectation, reading)
        question = read_request(expectation.request, reading.binder)
        unbound = read_request(expectation.request, symbolic_binder)
        reading.own.test_runs.append(
            TestRun(item.name.plain(), expectation.outcome, Both(question, unbound), expectation.span)
        )
        bound.append(Expectation(outcome=expectation.outcome, request=request_text(question)))
        symbolic.append(Expectation(outcome=expectation.outcome, request=request_text(unbound)))
    name = item.name.plain()
    test = Test(name=name, policy=reading.policy, expectations=tuple(bound))
    other = (
        test if bound == symbolic else Test(name=name, policy=reading.policy, expectations=tuple(symbolic))
    )
    reading.own.tests.append(Both(test, other))


def _check_outcome(expectation: ast.Expectation, reading: Reading) -> None:
    request = expectation.request
    action = request.action if isinstance(request, ast.FileRequest | ast.McpRequest) else ""
    if expectation.outcome == "hold" and action not in _HELD_ACTIONS:
        message = "this request is never held: its outcome is `allow` or `deny`"
        reading.findings.error("P071", expectation.span, message, rule="S3")
