"""Requests as they stand after `expect`, and asking an engine (X1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Literal, TypeAlias, TypedDict

from replicante.errors import PolicyError

from . import ast
from .bind import Binder, Place
from .diagnostics import Source, in_order
from .findings import Findings

if TYPE_CHECKING:
    from replicante._core import Decision, Engine, Explanation

Argument: TypeAlias = "bool | int | str | Decimal | list[Argument] | dict[str, Argument] | None"
"""A JSON value of an MCP request; fractions are exact."""

Protocol = Literal["tcp", "udp", "http"]


@dataclass(frozen=True, slots=True)
class Question:
    """A request with everything bound, in the words of `Engine.decide`."""

    action: str
    resource: str
    via: tuple[str, ...] = ()
    port: int | None = None
    protocol: Protocol = "tcp"
    method: str | None = None
    path: str | None = None
    resolves: tuple[str, ...] | None = None
    cname: tuple[str, ...] = ()
    arguments: dict[str, Argument] = field(default_factory=dict[str, Argument])
    made: bool = False


def ask(engine: Engine, request: str, variables: Mapping[str, str] | None = None) -> Decision:
    """Decides one request that is written as after `expect`.

    Args:
        engine: The compiled policy.
        request: For example `connect "github.com" port 443`.
        variables: Values of the variables that the request mentions.

    Raises:
        PolicyError: If the request does not parse.
    """
    return decide(engine, parse_question(request, variables))


def parse_question(request: str, variables: Mapping[str, str] | None = None) -> Question:
    """Reads a request that is written as after `expect`.

    Raises:
        PolicyError: If it does not parse, or has a wildcard or an unknown variable.
    """
    from .parse import parse_request

    source = Source(request, "<request>")
    tree, diagnostics = parse_request(request, source.filename)
    findings = Findings(source, source.span(0, len(request)))
    question = None if tree is None else read_request(tree, Binder(variables or {}, findings))
    found = in_order([*diagnostics, *findings.all])
    if question is None or any(one.is_error for one in found):
        code = found[0].code if found else None
        raise PolicyError("the request cannot be understood", found, code=code)
    return question


class _Keywords(TypedDict, total=False):
    via: tuple[str, ...]
    port: int | None
    protocol: Protocol
    method: str | None
    path: str | None
    resolves: tuple[str, ...] | None
    cname: tuple[str, ...]
    arguments: dict[str, Argument]
    made: bool


def decide(engine: Engine, question: Question) -> Decision:
    """Asks an engine; the answer is what the compiled policy says with all limits full (X2)."""
    return engine.decide(question.action, question.resource, **_keywords(question))


def explain(engine: Engine, question: Question) -> Explanation:
    """Asks an engine for its answer with what stands around it (§14)."""
    return engine.explain(question.action, question.resource, **_keywords(question))


def _keywords(question: Question) -> _Keywords:
    match question.action:
        case "connect":
            return {
                "port": question.port,
                "protocol": question.protocol,
                "method": question.method,
                "path": question.path,
                "resolves": question.resolves,
                "cname": question.cname,
            }
        case "listen":
            return {"port": question.port}
        case "call" | "resource" | "prompt" | "sampling" | "elicitation" | "roots":
            return {"arguments": question.arguments}
        case "read" | "write" | "create" | "delete" | "execute":
            return {"via": question.via, "made": question.made}
        case _:
            return {}


def read_request(request: ast.Request, binder: Binder) -> Question:
    """Binds a request; what is wrong in it goes to the binder's findings (P039, P072)."""
    match request:
        case ast.FileRequest():
            via = tuple(_concrete(name, "path", binder) for name in request.via)
            path = _concrete(request.path, "path", binder)
            return Question(request.action, path, via=via, made=request.is_made)
        case ast.ConnectRequest():
            return _connect(request, binder)
        case ast.UnixRequest():
            return Question("connect unix", _concrete(request.path, "path", binder))
        case ast.ResolveRequest():
            return Question("resolve", _concrete(request.host, "word", binder))
        case ast.ListenRequest():
            return Question("listen", "", port=request.port.value)
        case ast.McpRequest():
            subject = _concrete(request.subject, "anywhere", binder)
            arguments = {} if request.arguments is None else _object(request.arguments, binder)
            return Question(request.action, subject, arguments=arguments)
        case ast.SyscallRequest():
            return Question("syscall", request.name.text)


def _connect(request: ast.ConnectRequest, binder: Binder) -> Question:
    if request.port is None:
        binder.findings.error(
            "P039",
            request.host.span,
            "`connect` needs a port",
            rule="X1",
            fix="add `port 443` after the host",
        )
    return Question(
        "connect",
        _concrete(request.host, "word", binder),
        port=None if request.port is None else request.port.value,
        protocol=request.protocol or "tcp",
        method=None if request.method is None else request.method.text,
        path=None if request.path is None else _concrete(request.path, "word", binder),
        resolves=tuple(_concrete(address, "word", binder) for address in request.resolves) or None,
        cname=tuple(_concrete(name, "word", binder) for name in request.cname),
    )


def _concrete(literal: ast.StringLiteral, place: Place, binder: Binder) -> str:
    for part in literal.parts:
        if isinstance(part, ast.LiteralText) and _has_wildcard(part.pattern):
            message = "a request names one thing, so no wildcard stands in it"
            binder.findings.error(
                "P072", literal.span, message, rule="X1", fix="write `\\*` for a star itself"
            )
            break
    return binder.plain(literal, place).bound


def _has_wildcard(pattern: str) -> bool:
    characters = iter(pattern)
    for character in characters:
        if character == "\\":
            next(characters, "")
        elif character == "*":
            return True
    return False


def _object(value: ast.JsonObject, binder: Binder) -> dict[str, Argument]:
    return {key.plain(): _json(member, binder) for key, member in value.pairs}


def _json(value: ast.JsonValue, binder: Binder) -> Argument:
    match value:
        case ast.StringLiteral():
            return _concrete(value, "anywhere", binder)
        case ast.NumberLiteral():
            number = Decimal(value.value)
            return int(number) if number == number.to_integral_value() else number
        case ast.JsonWord():
            return value.value
        case ast.JsonArray():
            return [_json(item, binder) for item in value.items]
        case ast.JsonObject():
            return _object(value, binder)


def request_text(question: Question) -> str:
    """Gives the text of a bound request; it parses to the same request."""
    parts = [
        question.action,
        *([] if question.action in ("listen", "syscall") else [_quoted(question.resource)]),
    ]
    if question.action == "syscall":
        parts.append(question.resource)
    if question.made:
        parts.append("made")
    if question.via:
        parts.append("via " + ", ".join(map(_quoted, question.via)))
    if question.port is not None:
        parts.append(f"port {question.port}")
    if question.protocol != "tcp":
        parts.append(f"protocol {question.protocol}")
    if question.method is not None:
        parts.append(f"method {question.method}")
    if question.path is not None:
        parts.append(f"path {_quoted(question.path)}")
    if question.resolves:
        parts.append("resolves " + ", ".join(map(_quoted, question.resolves)))
    if question.cname:
        parts.append("cname " + ", ".join(map(_quoted, question.cname)))
    if question.arguments:
        parts.append("with " + _json_text(question.arguments))
    return " ".join(parts)


def _json_text(value: Argument) -> str:
    if isinstance(value, dict):
        members = (f"{_quoted(key)}: {_json_text(value[key])}" for key in sorted(value))
        return "{ " + ", ".join(members) + " }" if value else "{}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_json_text, value)) + "]"
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return format(value, "f") if isinstance(value, Decimal) else str(value)


_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "$": "\\$", **{c: f"\\{c}" for c in "*?[]{}"}}


def _quoted(text: str) -> str:
    def escaped(character: str) -> str:
        known = _ESCAPES.get(character)
        if known is not None:
            return known
        return character if character.isprintable() else f"\\u{{{ord(character):X}}}"

    return '"' + "".join(map(escaped, text)) + '"'
