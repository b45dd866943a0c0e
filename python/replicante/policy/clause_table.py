"""Which clause may stand at which rule, each at most once (P013, P014)."""

from __future__ import annotations

from collections.abc import Iterable

from . import ast
from .findings_of_text import TextFindings

_RESTRICTING = ("hold", "deny", "never")
_GRANTING = ("allow", "override_allow")
_EVERY = (*_GRANTING, *_RESTRICTING)

FILE_LIMITS = ("max-file", "max-total", "max-files")
NETWORK_LIMITS = ("rate", "connections", "upload", "download")

BLOCK_LIMITS: dict[str, tuple[str, ...]] = {
    "filesystem": FILE_LIMITS,
    "network": NETWORK_LIMITS,
    "mcp": ("rate", "max-message"),
}
"""What may stand after `limit` in each block (F8, N14, M4)."""

RULE_LIMITS: dict[str, tuple[str, ...]] = {
    "filesystem": FILE_LIMITS,
    "network": NETWORK_LIMITS,
    "mcp": ("rate",),
}
"""What may stand after `override limits of LABEL` in each block."""

_COMMON = {"as": _EVERY, "because": _EVERY}

_CLAUSES: dict[str, dict[str, tuple[str, ...]]] = {
    "file": {
        **_COMMON,
        "exactly": _RESTRICTING,
        "hidden": ("deny", "never"),
        "existing": _RESTRICTING,
        "unless inert": ("hold",),
        **dict.fromkeys(FILE_LIMITS, _GRANTING),
    },
    "connect": {
        **_COMMON,
        "exactly": _RESTRICTING,
        "port": _EVERY,
        "protocol": _EVERY,
        "method": _EVERY,
        "path": _EVERY,
        "inspect tls": _EVERY,
        "to": _GRANTING,
        **dict.fromkeys(NETWORK_LIMITS, _GRANTING),
    },
    "resolve": {**_COMMON, "exactly": _RESTRICTING},
    "connect unix": {**_COMMON, "exactly": _RESTRICTING},
    "listen": {**_COMMON, "port": _EVERY, "publish": _GRANTING},
    "mcp": {**_COMMON, "where": _EVERY, "rate": _GRANTING},
}
"""For each kind of head: the clauses, and the effects of the rules that they may stand at."""

_FLAG_WORDS = {"unless-inert": "unless inert", "inspect": "inspect tls"}
_EFFECT_WORDS = {"override_allow": "override allow", "never": "never allow"}


def effect_words(effect: str) -> str:
    """Gives the words that a rule of an effect starts with."""
    return _EFFECT_WORDS.get(effect, effect)


def head_words(head: ast.Head) -> str:
    """Gives the words of a head before its patterns."""
    match head:
        case ast.FileHead():
            return "any" if head.is_any else ", ".join(action.text for action in head.actions)
        case ast.UnixHead():
            return "connect unix"
        case ast.ListenHead():
            return "listen"
        case ast.HostHead() | ast.McpHead():
            return head.action


def clause_name(clause: ast.Clause) -> str:
    """Gives the words that a clause starts with."""
    match clause:
        case ast.Label():
            return "as"
        case ast.Because():
            return "because"
        case ast.Flag():
            return _FLAG_WORDS.get(clause.kind, clause.kind)
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
        case _:
            return clause.kind


def check_clauses(rule: ast.Rule, findings: TextFindings) -> None:
    """Checks the clauses of one rule."""
    words = head_words(rule.head)
    table = _CLAUSES[_kind(rule.head, words)]
    seen: dict[str, ast.Clause] = {}
    for clause in rule.clauses:
        name = clause_name(clause)
        effects = table.get(name)
        effect = effect_words(rule.effect)
        if effects is None:
            findings.error(
                "P013", clause.span, f"`{name}` is not valid for `{words}`", fix=f"leave out `{name}`"
            )
        elif rule.effect not in effects:
            findings.error(
                "P013", clause.span, f"`{name}` is not valid after `{effect}`", fix=f"leave out `{name}`"
            )
        elif name in seen:
            findings.error("P014", clause.span, f"`{name}` is stated twice", first=seen[name].span)
        seen.setdefault(name, clause)
    head = rule.head
    if isinstance(head, ast.McpHead) and head.expose is not None and head.action != "roots":
        findings.error(
            "P013",
            head.span,
            f"`expose` is not valid for `{head.action}`",
            rule="M1",
            fix="leave out `expose`",
        )


def check_limits(
    limits: Iterable[ast.Limit], valid: tuple[str, ...], place: str, findings: TextFindings
) -> None:
    """Checks the limits of one statement that is not a rule."""
    seen: dict[str, ast.Limit] = {}
    for limit in limits:
        if limit.kind not in valid:
            findings.error(
                "P013",
                limit.span,
                f"`{limit.kind}` is not valid in {place}",
                fix=f"valid are {_listed(valid)}",
            )
        elif limit.kind in seen:
            findings.error("P014", limit.span, f"`{limit.kind}` is stated twice", first=seen[limit.kind].span)
        seen.setdefault(limit.kind, limit)


def _listed(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


def _kind(head: ast.Head, words: str) -> str:
    """Gives the kind of a head in the table."""
    match head:
        case ast.FileHead():
            return "file"
        case ast.McpHead():
            return "mcp"
        case _:
            return words
