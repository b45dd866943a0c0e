"""The canonical text of a rule, and the text of which its id is taken (T9).

For an id, lists are sorted and label and prose left out: order and prose change neither a decision nor an
identity.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from . import ast
from .written import port_text, written_rule, written_syscall_rule


def rule_text(rule: ast.Rule) -> str:
    """Gives a rule of files, network or MCP, or a `never`, on one line."""
    return written_rule(rule).one_line()


def rule_id_text(rule: ast.Rule) -> str:
    """Gives the text of such a rule for its id."""
    clauses = [_sorted_clause(clause) for clause in rule.clauses if not isinstance(clause, _PROSE)]
    return written_rule(replace(rule, head=_sorted_head(rule.head), clauses=tuple(clauses))).one_line()


def syscall_rule_text(rule: ast.SyscallRule) -> str:
    """Gives a rule of the `syscalls` block on one line."""
    return written_syscall_rule(rule).one_line()


def syscall_rule_id_text(rule: ast.SyscallRule) -> str:
    """Gives the text of such a rule for its id."""
    plain = replace(rule, names=_words(rule.names), label=None, because=None)
    return written_syscall_rule(plain).one_line()


def one_line(text: str) -> str:
    """Gives a piece of a policy with each run of white space as one space."""
    return " ".join(text.split())


_PROSE = (ast.Label, ast.Because)


def _sorted_head(head: ast.Head) -> ast.Head:
    match head:
        case ast.FileHead():
            return replace(head, actions=_words(head.actions), patterns=_strings(head.patterns))
        case ast.HostHead():
            items = sorted(head.hosts.items, key=_host_text)
            return replace(head, hosts=replace(head.hosts, items=tuple(items)))
        case ast.UnixHead():
            return replace(head, patterns=_strings(head.patterns))
        case ast.ListenHead():
            return head
        case ast.McpHead():
            expose = None if head.expose is None else _strings(head.expose)
            return replace(head, subjects=_strings(head.subjects), expose=expose)


def _sorted_clause(clause: ast.Clause) -> ast.Clause:
    match clause:
        case ast.Port():
            return replace(clause, ranges=tuple(sorted(clause.ranges, key=port_text)))
        case ast.Method():
            return replace(clause, methods=_words(clause.methods))
        case ast.UrlPath():
            return replace(clause, patterns=_strings(clause.patterns))
        case ast.To():
            return replace(clause, classes=_words(clause.classes))
        case _:
            return clause


def _words(words: Iterable[ast.Word]) -> tuple[ast.Word, ...]:
    return tuple(sorted(words, key=lambda word: word.text))


def _strings(strings: Iterable[ast.StringLiteral]) -> tuple[ast.StringLiteral, ...]:
    return tuple(sorted(strings, key=lambda string: string.written))


def _host_text(host: ast.StringLiteral | ast.HostSet) -> str:
    return host.name if isinstance(host, ast.HostSet) else host.written
