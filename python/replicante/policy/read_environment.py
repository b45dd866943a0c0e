"""The `environment`, `capabilities` and `syscalls` blocks (C1 to C4)."""

from __future__ import annotations

from . import ast, syscalls
from .checks.names import (
    CAPABILITIES,
    CAPABILITIES_NOT_KEPT,
    did_you_mean,
    is_loader_variable,
    loads_code,
    looks_secret,
)
from .checks.patterns import check_host
from .clauses import Reading
from .diagnostics import Span
from .model import Secret, SyscallRule
from .rule_text import one_line, syscall_rule_id_text, syscall_rule_text
from .statements import Both, EnvironmentName, SetVariable, SyscallStatement


def read_syscall_rule(rule: ast.SyscallRule, reading: Reading) -> None:
    """Reads one rule of the `syscalls` block; groups become the calls that they hold."""
    names: set[str] = set()
    for call in rule.names:
        expanded = syscalls.expand(call.text)
        if expanded is None:
            _unknown_call(call, reading)
        else:
            names.update(expanded)
    if rule.effect == "hold":
        reading.findings.error(
            "P053", rule.keyword, "a system call cannot be held", rule="S3", fix="deny it, or allow it"
        )
    rule_id = reading.rule_id(rule.label, "syscall", syscall_rule_id_text(rule))
    reading.place(rule_id, rule.span, syscall_rule_text(rule))
    model = SyscallRule(
        id=rule_id,
        policy=reading.policy,
        effect=rule.effect,
        names=tuple(sorted(names)),
        errno=None if rule.errno is None else rule.errno.text,
        kill=rule.is_kill,
        because=None if rule.because is None else rule.because.plain(),
    )
    reading.own.syscalls.append(SyscallStatement(model, rule.span, rule.keyword))


def _unknown_call(call: ast.Word, reading: Reading) -> None:
    is_group = call.text.startswith("@")
    meant = did_you_mean(call.text, syscalls.groups() if is_group else syscalls.names())
    what = "group of system calls" if is_group else "system call"
    reading.findings.did_you_mean("P044", call.span, f"there is no {what} `{call.text}`", meant, rule="C1")


def read_capabilities(rule: ast.CapabilityRule, reading: Reading) -> None:
    """Reads `keep` or `drop` of capabilities (C2)."""
    for name in rule.names:
        statement = EnvironmentName(name.text, name.span, rule.is_override)
        if name.text not in CAPABILITIES:
            meant = did_you_mean(name.text, CAPABILITIES)
            reading.findings.did_you_mean(
                "P058", name.span, f"there is no capability `{name.text}`", meant, rule="C2"
            )
        elif rule.verb == "drop":
            reading.own.capabilities_drop.append(statement)
        elif name.text in CAPABILITIES_NOT_KEPT:
            message = f"the capability `{name.text}` cannot be kept: it reaches beyond the sandbox"
            reading.findings.error("P058", name.span, message, rule="C2")
        else:
            reading.own.capabilities_keep.append(statement)


def read_environment(statement: ast.EnvironmentStatement, reading: Reading) -> None:
    """Reads one statement of the `environment` block (C3, C4)."""
    match statement:
        case ast.EnvironmentNames(verb="drop"):
            reading.own.environment_drop += [
                EnvironmentName(name.text, name.span) for name in statement.names
            ]
        case ast.EnvironmentNames():
            for name in statement.names:
                _read_keep(name.text, name.span, reading)
        case ast.EnvironmentSet():
            _read_set(statement, reading)
        case ast.Secret():
            _read_secret(statement, reading)


def _read_keep(name: str, span: Span, reading: Reading) -> None:
    findings = reading.findings
    if loads_code(name):
        findings.error(
            "P058",
            span,
            f"`{name}` loads code into programs, so the host's value cannot be kept",
            rule="C3",
            fix=None
            if is_loader_variable(name) or name.endswith("*")
            else f"write `set {name}` with a value of the policy's own",
        )
        return
    if looks_secret(name):
        if name.endswith("*"):
            findings.error(
                "P058",
                span,
                f"`{name}` keeps secrets by a prefix",
                rule="C3",
                fix="name each variable, or use `secret`",
            )
            return
        findings.warning(
            "W122", span, f"`{name}` looks like a secret", rule="C3", fix=f"use `secret {name} from …`"
        )
    reading.own.environment_keep.append(EnvironmentName(name, span))


def _read_set(statement: ast.EnvironmentSet, reading: Reading) -> None:
    name = statement.name.text
    if is_loader_variable(name):
        message = f"`{name}` speaks to the dynamic loader and cannot be set"
        reading.findings.error("P058", statement.name.span, message, rule="C3")
        return
    value = reading.binder.plain(statement.value, "anywhere")
    reading.own.environment_set.append(SetVariable(name, value, statement.span))


def _read_secret(statement: ast.Secret, reading: Reading) -> None:
    name = statement.name.text
    hosts: list[Both[str]] | None = None
    if statement.hosts is None:
        message = f"the agent sees the value of the secret `{name}`"
        reading.findings.warning("W123", statement.span, message, rule="C4")
    else:
        hosts = []
        for literal in statement.hosts:
            text = reading.binder.pattern(literal, "word")
            normal = check_host(text.bound, literal.span, reading.findings, grants=True)
            if normal is not None:
                symbolic = normal.pattern if text.symbolic is text.bound else text.symbolic
                hosts.append(Both(normal.pattern, symbolic))
    if isinstance(statement.value, ast.Word):
        value = Both(statement.value.text, statement.value.text)
    else:
        value = reading.binder.plain(statement.value, "path" if statement.source == "file" else "nowhere")
    rule_id = f"{reading.policy}/secret.{name}"
    reading.place(rule_id, statement.span, one_line(reading.findings.text_of(statement.span)))

    def secret(value: str, hosts: list[str] | None) -> Secret:
        return Secret(
            id=rule_id,
            policy=reading.policy,
            name=name,
            source=statement.source,
            value=value,
            hosts=None if hosts is None else tuple(sorted(hosts)),
        )

    bound = secret(value.bound, None if hosts is None else [host.bound for host in hosts])
    symbolic = secret(value.symbolic, None if hosts is None else [host.symbolic for host in hosts])
    reading.own.secrets.append((Both(bound, symbolic), statement.span))
