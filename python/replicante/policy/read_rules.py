"""Rules of files, network and MCP: one written rule becomes one entry for each action and pattern (D1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from . import ast
from .checks import patterns
from .clauses import Clauses, Reading, read_clauses
from .diagnostics import Edit, Span
from .findings import after
from .model import FILE_ACTIONS, Action, HostKind, Protocol, Rule
from .read_conditions import read_condition
from .rule_text import rule_id_text, rule_text
from .statements import Both, RuleStatement

_GRANTING = frozenset({"allow", "override_allow"})
_HOLDABLE = frozenset({"write", "create", "delete", "call"})


@dataclass(frozen=True, slots=True)
class Target:
    """One pattern of a rule in normal form, and where it is written."""

    text: Both[str]
    span: Span
    kind: HostKind | None = None


def read_rule(rule: ast.Rule, reading: Reading) -> None:
    """Reads one rule of a block, or a `never`, into the statements of its policy."""
    head, clauses = rule.head, read_clauses(rule.clauses)
    expose: tuple[ast.StringLiteral, ...] = ()
    actions: tuple[Action, ...]
    match head:
        case ast.FileHead():
            actions = _file_actions(head, rule, reading)
            targets = [path_target(pattern, reading) for pattern in head.patterns]
        case ast.UnixHead():
            actions = ("connect-unix",)
            targets = [path_target(pattern, reading) for pattern in head.patterns]
        case ast.HostHead():
            actions = (head.action,)
            targets = host_targets(head.hosts, reading, grants=rule.effect in _GRANTING)
            _check_host_rule(head, rule, clauses, targets, reading)
        case ast.ListenHead():
            actions = ("listen",)
            targets = [Target(Both("", ""), head.span)]
        case ast.McpHead():
            actions = (head.action,)
            targets = [subject_target(pattern, reading) for pattern in head.subjects]
            expose = head.expose or ()
            _check_roots(head, rule, reading)
    if rule.effect == "hold" and not _HOLDABLE.issuperset(actions):
        wrong = next(action for action in actions if action not in _HOLDABLE)
        message = f"`{wrong.replace('-', ' ')}` cannot be held"
        reading.findings.error("P053", rule.keyword, message, rule="S3", fix="deny it, or allow it")
    _add(rule, clauses, actions, targets, expose, reading)


def path_target(literal: ast.StringLiteral, reading: Reading) -> Target:
    """Reads a path pattern (F3)."""
    text = reading.binder.pattern(literal, "path")
    patterns.check_path(text.bound, literal.span, reading.findings)
    return Target(text, literal.span)


def subject_target(literal: ast.StringLiteral, reading: Reading) -> Target:
    """Reads an MCP subject (M2)."""
    return Target(reading.binder.pattern(literal, "word"), literal.span)


def host_targets(hosts: ast.Hosts, reading: Reading, *, grants: bool) -> list[Target]:
    """Reads hosts: `any`, names, addresses, blocks and sets, which are expanded (N2, N15)."""
    if hosts.is_any:
        return [Target(Both("", ""), hosts.span, "any")]
    found: list[Target] = []
    for host in hosts.items:
        if isinstance(host, ast.HostSet):
            for name in reading.host_set(host):
                normal = patterns.check_host(name, host.span, reading.findings, grants=grants)
                if normal is not None:
                    found.append(Target(Both(normal.pattern, normal.pattern), host.span, normal.kind))
            continue
        text = reading.binder.pattern(host, "word")
        normal = patterns.check_host(text.bound, host.span, reading.findings, grants=grants)
        if normal is not None:
            symbolic = normal.pattern if text.symbolic is text.bound else text.symbolic
            found.append(Target(Both(normal.pattern, symbolic), host.span, normal.kind))
    if not grants:
        _warn_about_apex(hosts, found, reading)
    return found


def _warn_about_apex(hosts: ast.Hosts, targets: Sequence[Target], reading: Reading) -> None:
    """Says where a restriction of `**.x` leaves out `x`, which is seldom meant (W124)."""
    names = {target.text.bound for target in targets}
    for target in targets:
        apex = target.text.bound.removeprefix("**.")
        covered = any(apex == name or apex.endswith(f".{name}") for name in names)
        if target.text.bound.startswith("**.") and not covered:
            reading.findings.warning(
                "W124",
                target.span,
                f"`{target.text.bound}` does not cover `{apex}` itself",
                rule="N2",
                fix=f"write `{apex}`: a restriction covers what lies below it, too",
                edit=None if len(hosts.items) != len(targets) else Edit(target.span, f'"{apex}"'),
            )


def _file_actions(head: ast.FileHead, rule: ast.Rule, reading: Reading) -> tuple[Action, ...]:
    if not head.is_any:
        named = {word.text for word in head.actions}
        return tuple(action for action in FILE_ACTIONS if action in named)
    if rule.effect not in ("deny", "never"):
        five = ", ".join(FILE_ACTIONS)
        start = reading.findings.source.span(head.span.start, head.span.start + len("any"))
        message = "`any` stands only in `deny` and `never`"
        fix = f"write `{five}`"
        reading.findings.error("P033", start, message, rule="F1", fix=fix, edit=Edit(start, five))
    return FILE_ACTIONS


def _check_host_rule(
    head: ast.HostHead, rule: ast.Rule, clauses: Clauses, targets: Sequence[Target], reading: Reading
) -> None:
    findings = reading.findings
    if head.action == "connect" and rule.effect in _GRANTING and clauses.ports is None:
        findings.error(
            "P039",
            head.hosts.span,
            "`allow connect` needs a port",
            rule="N6",
            fix="add `port 443` after the host",
            edit=after(findings.source, head.hosts.span, " port 443"),
        )
    if clauses.protocol == "udp":
        for target in targets:
            if target.kind != "net":
                message = "`protocol udp` takes only addresses: a relay cannot see a name in it"
                findings.error("P054", target.span, message, rule="N9")
    if (
        (clauses.methods or clauses.url_paths)
        and "inspect" not in clauses.flags
        and clauses.protocol != "http"
    ):
        findings.error(
            "P055",
            head.span,
            "`method` and `path` are visible only in plain HTTP or inspected TLS",
            rule="N10",
            fix="add `inspect tls`, or `protocol http`",
        )


def _check_roots(head: ast.McpHead, rule: ast.Rule, reading: Reading) -> None:
    if head.action == "roots" and rule.effect in _GRANTING and not head.expose:
        message = "`roots` needs the directories that it exposes"
        reading.findings.error("P056", head.span, message, rule="M1", fix="add `expose` and a list of paths")


def _add(
    rule: ast.Rule,
    clauses: Clauses,
    actions: tuple[Action, ...],
    targets: Sequence[Target],
    expose: tuple[ast.StringLiteral, ...],
    reading: Reading,
) -> None:
    rule_id = reading.rule_id(clauses.label, actions[0], rule_id_text(rule))
    restricts = rule.effect not in _GRANTING
    condition = (
        None if clauses.condition is None else read_condition(clauses.condition, reading, restricts=restricts)
    )
    url_paths = _texts(clauses.url_paths, reading)
    exposed = _texts(expose, reading)
    shared: dict[str, object] = {
        "id": rule_id,
        "policy": reading.policy,
        "effect": rule.effect,
        "ports": clauses.ports,
        "classes": clauses.classes,
        "methods": clauses.methods,
        "limits": clauses.limits,
        "because": clauses.because,
        "url_paths": url_paths.bound,
        "expose": exposed.bound,
        "condition": None if condition is None else condition.bound,
        "inert": "unless-inert" in clauses.flags,
        **{flag: flag in clauses.flags for flag in ("hidden", "existing", "inspect", "publish")},
    }
    changes: dict[str, object] = {}
    if url_paths.symbolic is not url_paths.bound:
        changes["url_paths"] = url_paths.symbolic
    if exposed.symbolic is not exposed.bound:
        changes["expose"] = exposed.symbolic
    if condition is not None and condition.symbolic is not condition.bound:
        changes["condition"] = condition.symbolic
    bound: list[Rule] = []
    symbolic: list[Rule] = []
    for action in actions:
        shared["action"] = action
        shared["downward"] = restricts and "exactly" not in clauses.flags and _has_below(action)
        shared["protocol"] = _protocol(action, clauses, restricts=restricts)
        for target in targets:
            entry = Rule.model_validate({**shared, "pattern": target.text.bound, "kind": target.kind})
            bound.append(entry)
            if target.text.symbolic is not target.text.bound:
                symbolic.append(entry.model_copy(update={**changes, "pattern": target.text.symbolic}))
            else:
                symbolic.append(entry.model_copy(update=changes) if changes else entry)
    reading.place(rule_id, rule.span, rule_text(rule))
    rules = Both(tuple(bound), tuple(symbolic))
    label = None if clauses.label is None else clauses.label.text
    reading.own.rules.append(RuleStatement(rule_id, label, rules, clauses.limits, rule.span, rule.keyword))


def _texts(literals: tuple[ast.StringLiteral, ...], reading: Reading) -> Both[tuple[str, ...]]:
    texts = [path_target(literal, reading).text for literal in literals]
    bound = tuple(sorted(text.bound for text in texts))
    symbolic = tuple(sorted(text.symbolic for text in texts))
    return Both(bound, bound if bound == symbolic else symbolic)


def _has_below(action: Action) -> bool:
    """Tells whether something lies below what a pattern of the action matches (S8)."""
    return action in FILE_ACTIONS or action in ("connect-unix", "connect", "resolve")


def _protocol(action: Action, clauses: Clauses, *, restricts: bool) -> Protocol | None:
    """Gives the protocol of a rule: tcp by default where it allows, all where it restricts (N6, N9)."""
    if action != "connect" or clauses.protocol is not None or restricts:
        return clauses.protocol
    return "tcp"
