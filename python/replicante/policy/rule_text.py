"""The canonical text of a rule (T9): one line, clauses in the formatter's order (§14).

For an id, lists are sorted and label and prose left out: order and prose change neither a decision nor an
identity.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from . import ast

_EFFECT_WORDS = {"override_allow": "override allow", "never": "never allow"}
_FLAG_WORDS = {"unless-inert": "unless inert", "inspect": "inspect tls"}
_CLAUSE_ORDER = (
    "exactly", "hidden", "existing", "unless-inert", "port", "protocol", "inspect", "method", "path", "to",
    "publish", "where", "limit", "as", "because",
)  # fmt: skip


def rule_text(rule: ast.Rule, source_text: Callable[[ast.Condition], str], *, for_id: bool = False) -> str:
    """Gives the text of a rule of files, network or MCP, and of a `never`.

    Args:
        rule: The rule.
        source_text: Gives the characters of a condition as written.
        for_id: Whether to sort lists and leave out label and prose.
    """
    parts = [_EFFECT_WORDS.get(rule.effect, rule.effect), _head(rule.head, for_id=for_id)]
    clauses = sorted(rule.clauses, key=lambda clause: _CLAUSE_ORDER.index(_kind(clause)))
    parts += [
        _clause(clause, source_text, for_id=for_id)
        for clause in clauses
        if not (for_id and _is_prose(clause))
    ]
    return " ".join(parts)


def syscall_rule_text(rule: ast.SyscallRule, *, for_id: bool = False) -> str:
    """Gives the text of a rule of the `syscalls` block."""
    parts = [
        _EFFECT_WORDS.get(rule.effect, rule.effect),
        _words((name.text for name in rule.names), for_id=for_id),
    ]
    if rule.errno is not None:
        parts.append(f"errno {rule.errno.text}")
    if rule.is_kill:
        parts.append("kill")
    if not for_id:
        parts += [] if rule.label is None else [f"as {rule.label.text}"]
        parts += [] if rule.because is None else [f"because {rule.because.written}"]
    return " ".join(parts)


def one_line(text: str) -> str:
    """Gives a piece of a policy with each run of white space as one space."""
    return " ".join(text.split())


def _head(head: ast.Head, *, for_id: bool) -> str:
    match head:
        case ast.FileHead():
            actions = "any" if head.is_any else _words((word.text for word in head.actions), for_id=for_id)
            return f"{actions} {_strings(head.patterns, for_id=for_id)}"
        case ast.HostHead():
            return f"{head.action} {_hosts(head.hosts, for_id=for_id)}"
        case ast.UnixHead():
            return f"connect unix {_strings(head.patterns, for_id=for_id)}"
        case ast.ListenHead():
            return "listen"
        case ast.McpHead():
            expose = "" if head.expose is None else f" expose {_strings(head.expose, for_id=for_id)}"
            return f"{head.action} {_strings(head.subjects, for_id=for_id)}{expose}"


def _clause(clause: ast.Clause, source_text: Callable[[ast.Condition], str], *, for_id: bool) -> str:
    match clause:
        case ast.Flag():
            return _FLAG_WORDS.get(clause.kind, clause.kind)
        case ast.Port():
            ranges = ((port.low, port.high) for port in clause.ranges)
            texts = (str(low) if low == high else f"{low}..{high}" for low, high in ranges)
            return f"port {_words(texts, for_id=for_id)}"
        case ast.ProtocolClause():
            return f"protocol {clause.protocol}"
        case ast.Method():
            return f"method {_words((word.text for word in clause.methods), for_id=for_id)}"
        case ast.UrlPath():
            return f"path {_strings(clause.patterns, for_id=for_id)}"
        case ast.To():
            return f"to {_words((word.text for word in clause.classes), for_id=for_id)}"
        case ast.Where():
            return f"where {one_line(source_text(clause.condition))}"
        case ast.Label():
            return f"as {clause.name.text}"
        case ast.Because():
            return f"because {clause.text.written}"
        case _:
            return _limit(clause)


def _limit(limit: ast.Limit) -> str:
    match limit:
        case ast.RateLimit() | ast.TransferLimit():
            burst = "" if limit.burst is None else f" burst {limit.burst.written}"
            return f"{limit.kind} {limit.rate.written}{burst}"
        case ast.CountLimit():
            return f"{limit.kind} {limit.count.written}"
        case ast.SizeLimit():
            return f"{limit.kind} {limit.size.written}"


def _kind(clause: ast.Clause) -> str:
    match clause:
        case ast.Flag():
            return clause.kind
        case ast.Port():
            return "port"
        case ast.ProtocolClause():
            return "protocol"
        case ast.Method():
            return "method"
        case ast.UrlPath():
            return "path"
        case ast.To():
            return "to"
        case ast.Where():
            return "where"
        case ast.Label():
            return "as"
        case ast.Because():
            return "because"
        case _:
            return "limit"


def _is_prose(clause: ast.Clause) -> bool:
    return isinstance(clause, ast.Label | ast.Because)


def _hosts(hosts: ast.Hosts, *, for_id: bool) -> str:
    if hosts.is_any:
        return "any"
    texts = (host.name if isinstance(host, ast.HostSet) else host.written for host in hosts.items)
    return _words(texts, for_id=for_id)


def _strings(literals: Iterable[ast.StringLiteral], *, for_id: bool) -> str:
    return _words((literal.written for literal in literals), for_id=for_id)


def _words(words: Iterable[str], *, for_id: bool) -> str:
    return ", ".join(sorted(words) if for_id else words)
