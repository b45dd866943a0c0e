"""From the parser's tree to conditions of MCP rules (M3) and to JSON arguments of requests (X1)."""

from __future__ import annotations

from typing import cast

from lark import Token

from . import ast, literals
from .diagnostics import Span
from .findings_of_text import TextFindings
from .grammar import Node

MAX_DEPTH = 64
"""Levels of a condition or of JSON, as of a message (M4)."""

_JSON_WORDS = {"true": True, "false": False, "null": None}


def condition(node: Node, findings: TextFindings, depth: int = 1) -> ast.Condition:
    """Gives a condition; a level beyond `MAX_DEPTH` is told and left out."""
    span = _span(node)
    match node.data:
        case "or_" | "and_" | "not_" if depth > MAX_DEPTH:
            findings.error("P007", span, f"a condition has at most {MAX_DEPTH} levels", rule="M4")
            return ast.ArgumentsOnly((), span)
        case "or_":
            return ast.Or(tuple(condition(part, findings, depth + 1) for part in _trees(node)), span)
        case "and_":
            return ast.And(tuple(condition(part, findings, depth + 1) for part in _trees(node)), span)
        case "not_":
            return ast.Not(condition(_trees(node)[0], findings, depth + 1), span)
        case "args_only":
            return ast.ArgumentsOnly(tuple(_argument(path, findings) for path in _trees(node)), span)
        case _:
            return _argument_test(node, findings)


def json_object(node: Node, findings: TextFindings, depth: int = 1) -> ast.JsonObject:
    """Gives a JSON object; a key that is there twice is told (P015)."""
    span = _span(node)
    if depth > MAX_DEPTH:
        findings.error("P007", span, f"JSON has at most {MAX_DEPTH} levels", rule="M4")
        return ast.JsonObject((), span)
    pairs: list[tuple[ast.StringLiteral, ast.JsonValue]] = []
    seen: dict[str, Span] = {}
    for pair in _trees(node):
        key_token, value = pair.children
        key = literals.string(cast("Token", key_token), findings)
        name = key.plain()
        if name in seen:
            findings.error(
                "P015", key.span, f"the key {key.written} is there twice", rule="X1", first=seen[name]
            )
        seen.setdefault(name, key.span)
        pairs.append((key, _json_value(value, findings, depth + 1)))
    return ast.JsonObject(tuple(pairs), span)


def _json_value(value: Token | Node, findings: TextFindings, depth: int) -> ast.JsonValue:
    if isinstance(value, Token):
        return _scalar(value, findings)
    if value.data == "json_object":
        return json_object(value, findings, depth)
    span = _span(value)
    if depth > MAX_DEPTH:
        findings.error("P007", span, f"JSON has at most {MAX_DEPTH} levels", rule="M4")
        return ast.JsonArray((), span)
    return ast.JsonArray(tuple(_json_value(item, findings, depth + 1) for item in value.children), span)


def _scalar(token: Token, findings: TextFindings) -> ast.Scalar:
    if token.type == "STRING":
        return literals.string(token, findings)
    if token.type == "JSON_WORD":
        return ast.JsonWord(_JSON_WORDS[str(token)], literals.span_of(token))
    return literals.number(token, findings)


def _argument_test(node: Node, findings: TextFindings) -> ast.ArgumentTest:
    quantifier = (
        cast("ast.Quantifier", str(node.children[0])) if isinstance(node.children[0], Token) else None
    )
    path, test = _trees(node)
    return ast.ArgumentTest(quantifier, _argument(path, findings), _check(test, findings), _span(node))


def _argument(node: Node, findings: TextFindings) -> ast.ArgumentPath:
    names = tuple(
        literals.string(token, findings).plain() if token.type == "STRING" else str(token)
        for token in _tokens(node)
    )
    return ast.ArgumentPath(names, _span(node))


def _check(node: Node, findings: TextFindings) -> ast.ArgumentCheck:
    span, tokens = _span(node), _tokens(node)
    match node.data:
        case "matches":
            kind = cast("ast.MatchKind", str(tokens[0])) if len(tokens) > 1 else None
            return ast.Matches(kind, literals.string(tokens[-1], findings), span)
        case "length":
            comparison = cast("ast.Comparison", str(tokens[0]))
            return ast.Length(comparison, literals.count(tokens[1], findings, zero=True), span)
        case "compare":
            return ast.Compare(cast("ast.Comparison", str(tokens[0])), _scalar(tokens[1], findings), span)
        case "in_":
            return ast.In(tuple(_scalar(token, findings) for token in tokens), span)
        case "is_type":
            return ast.IsType(cast("ast.JsonType", str(tokens[0])), span)
        case _:
            return ast.Exists(span)


def _span(node: Node) -> Span:
    return Span(node.start, node.end, node.line, node.column)


def _tokens(node: Node) -> list[Token]:
    return [child for child in node.children if isinstance(child, Token)]


def _trees(node: Node) -> list[Node]:
    return [child for child in node.children if not isinstance(child, Token)]
