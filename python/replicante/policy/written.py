"""Statements as pieces of text: for the formatter's lines and for the ids of rules (T2, T9, §14)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from . import ast
from .clause_table import clause_name, effect_words, head_words

_CLAUSE_ORDER = (
    *("exactly", "hidden", "existing", "unless inert", "port", "protocol", "inspect tls", "method", "path"),
    *("to", "publish", "where", "limit", "as", "because"),
)


@dataclass(frozen=True, slots=True)
class Written:
    """One statement: words, then a list, then pieces that may each start a line."""

    start: str
    items: tuple[str, ...] = ()
    pieces: tuple[str, ...] = ()

    def one_line(self) -> str:
        """Gives the statement on one line."""
        head = f"{self.start} {', '.join(self.items)}" if self.items else self.start
        return " ".join([head, *self.pieces])


def clauses_in_order(clauses: Iterable[ast.Clause]) -> list[ast.Clause]:
    """Gives clauses in the formatter's order; limits keep theirs among themselves."""

    def place(clause: ast.Clause) -> int:
        name = clause_name(clause)
        return _CLAUSE_ORDER.index(name if name in _CLAUSE_ORDER else "limit")

    return sorted(clauses, key=place)


def written_rule(rule: ast.Rule) -> Written:
    """Gives a rule or a `never`."""
    pieces: list[str] = []
    if isinstance(rule.head, ast.McpHead) and rule.head.expose is not None:
        pieces.append(f"expose {_strings(rule.head.expose)}")
    for clause in clauses_in_order(rule.clauses):
        pieces += _clause(clause)
    return Written(f"{effect_words(rule.effect)} {head_words(rule.head)}", _items(rule.head), tuple(pieces))


def written_statement(item: ast.RuleStatement) -> Written:
    """Gives a statement of a `filesystem`, `network` or `mcp` block."""
    match item:
        case ast.Rule():
            return written_rule(item)
        case ast.BlockLimit():
            return Written(f"{_override(item.is_override)}limit", (), tuple(map(_limit, item.limits)))
        case ast.LimitsOf():
            return Written(f"override limits of {item.rule.text}", (), tuple(map(_limit, item.limits)))
        case ast.Pin():
            digest = "on-first-use" if item.digest is None else item.digest.written
            return Written(f"pin {item.subject.written} {digest}")


def written_resource(item: ast.ResourceLimit) -> Written:
    """Gives one key of `resources`."""
    return Written(f"{_override(item.is_override)}{item.key} {item.value.written}")


def written_syscall_rule(rule: ast.SyscallRule) -> Written:
    """Gives a rule of `syscalls`."""
    pieces = [] if rule.errno is None else [f"errno {rule.errno.text}"]
    pieces += ["kill"] if rule.is_kill else []
    pieces += [] if rule.label is None else [f"as {rule.label.text}"]
    pieces += _because(rule.because)
    return Written(effect_words(rule.effect), _texts(rule.names), tuple(pieces))


def written_capability(rule: ast.CapabilityRule) -> Written:
    """Gives a rule of `capabilities`."""
    return Written(
        f"{_override(rule.is_override)}{rule.verb}", _texts(rule.names), tuple(_because(rule.because))
    )


def written_environment(item: ast.EnvironmentStatement) -> Written:
    """Gives a statement of `environment`."""
    match item:
        case ast.EnvironmentNames():
            return Written(item.verb, _texts(item.names))
        case ast.EnvironmentSet():
            return Written(f"set {item.name.text} {item.value.written}")
        case ast.Secret():
            value = item.value.text if isinstance(item.value, ast.Word) else item.value.written
            use = "reveal" if item.hosts is None else f"for {_strings(item.hosts)}"
            return Written(f"secret {item.name.text} from {item.source} {value}", (), (use,))


def written_alert(alert: ast.Alert) -> Written:
    """Gives an alert."""
    measure = alert.measure
    pieces = ["when", measure.event.text]
    pieces += [] if measure.pattern is None else [measure.pattern.written]
    if measure.threshold is not None and measure.window is not None:
        word = "for" if measure.kind == "usage" else "within"
        pieces.append(f">= {measure.threshold.written} {word} {measure.window.written}")
    parts = [" ".join(pieces)]
    parts += [] if alert.clear_after is None else [f"clear after {alert.clear_after.written}"]
    parts.append(f"then {', '.join(_texts(alert.reactions))}")
    return Written(f"alert {alert.name.text} severity {alert.severity}", (), tuple(parts))


def written_tripwire(tripwire: ast.Tripwire) -> Written:
    """Gives a tripwire."""
    target = tripwire.target
    start = f"tripwire {tripwire.name.text} at"
    match target:
        case ast.PathTarget():
            items = tuple(pattern.written for pattern in target.patterns)
        case ast.HostTarget():
            start, items = f"{start} connect", _hosts(target.hosts)
        case ast.CallTarget():
            start, items = f"{start} call", tuple(subject.written for subject in target.subjects)
    return Written(start, items, (f"then {', '.join(_texts(tripwire.reactions))}",))


def written_expectation(expectation: ast.Expectation) -> Written:
    """Gives an expectation of a test."""
    start, pieces = _request(expectation.request)
    return Written(f"expect {expectation.outcome} {start}", (), tuple(pieces))


def written_item(
    item: ast.Description | ast.Workspace | ast.Home | ast.AcceptWeaker | ast.Rule | ast.Alert | ast.Tripwire,
) -> Written:
    """Gives a statement that stands in a policy itself."""
    match item:
        case ast.Description():
            return Written(f"description {item.text.written}")
        case ast.Workspace():
            return Written(f"{_override(item.is_override)}workspace {item.layer}")
        case ast.Home():
            return Written(f"{_override(item.is_override)}home {item.home}")
        case ast.AcceptWeaker():
            return Written("accept weaker", _texts(item.names), tuple(_because(item.because)))
        case ast.Rule():
            return written_rule(item)
        case ast.Alert():
            return written_alert(item)
        case ast.Tripwire():
            return written_tripwire(item)


def condition_text(condition: ast.Condition) -> str:
    """Gives a condition with the parentheses that it needs."""
    match condition:
        case ast.Or():
            return " or ".join(_inner(part, (ast.Or,)) for part in condition.conditions)
        case ast.And():
            return " and ".join(_inner(part, (ast.Or, ast.And)) for part in condition.conditions)
        case ast.Not():
            return f"not {_inner(condition.condition, (ast.Or, ast.And))}"
        case ast.ArgumentsOnly():
            return f"args only [{', '.join(map(_argument, condition.arguments))}]"
        case ast.ArgumentTest():
            quantifier = "" if condition.quantifier is None else f"{condition.quantifier} "
            return f"{quantifier}arg {_argument(condition.argument)} {_check(condition.test)}"


def json_text(value: ast.JsonValue) -> str:
    """Gives JSON as the formatter writes it."""
    match value:
        case ast.JsonObject():
            pairs = ", ".join(f"{key.written}: {json_text(part)}" for key, part in value.pairs)
            return f"{{ {pairs} }}" if pairs else "{}"
        case ast.JsonArray():
            return f"[{', '.join(map(json_text, value.items))}]"
        case _:
            return _scalar(value)


def _override(is_override: bool) -> str:
    return "override " if is_override else ""


def _texts(words: Sequence[ast.Word]) -> tuple[str, ...]:
    return tuple(word.text for word in words)


def _strings(strings: Iterable[ast.StringLiteral]) -> str:
    return ", ".join(string.written for string in strings)


def _because(text: ast.StringLiteral | None) -> list[str]:
    return [] if text is None else [f"because {text.written}"]


def _hosts(hosts: ast.Hosts) -> tuple[str, ...]:
    if hosts.is_any:
        return ("any",)
    return tuple(host.name if isinstance(host, ast.HostSet) else host.written for host in hosts.items)


def _items(head: ast.Head) -> tuple[str, ...]:
    match head:
        case ast.FileHead() | ast.UnixHead():
            return tuple(pattern.written for pattern in head.patterns)
        case ast.HostHead():
            return _hosts(head.hosts)
        case ast.ListenHead():
            return ()
        case ast.McpHead():
            return tuple(subject.written for subject in head.subjects)


def _clause(clause: ast.Clause) -> list[str]:
    """Gives the pieces of a clause; a condition may be broken at its outermost words."""
    name = clause_name(clause)
    match clause:
        case ast.Label():
            return [f"as {clause.name.text}"]
        case ast.Because():
            return [f"because {clause.text.written}"]
        case ast.Flag():
            return [name]
        case ast.Port():
            return [f"port {', '.join(map(port_text, clause.ranges))}"]
        case ast.ProtocolClause():
            return [f"protocol {clause.protocol}"]
        case ast.Method():
            return [f"method {', '.join(_texts(clause.methods))}"]
        case ast.UrlPath():
            return [f"path {_strings(clause.patterns)}"]
        case ast.To():
            return [f"to {', '.join(_texts(clause.classes))}"]
        case ast.Where():
            return _where(clause.condition)
        case _:
            return [_limit(clause)]


def port_text(port: ast.PortRange) -> str:
    """Gives a port, or a range of ports."""
    return str(port.low) if port.low == port.high else f"{port.low}..{port.high}"


def _where(condition: ast.Condition) -> list[str]:
    match condition:
        case ast.And():
            parts, word = [_inner(part, (ast.Or, ast.And)) for part in condition.conditions], "and"
        case ast.Or():
            parts, word = [_inner(part, (ast.Or,)) for part in condition.conditions], "or"
        case _:
            return [f"where {condition_text(condition)}"]
    return [f"where {parts[0]}", *(f"{word} {part}" for part in parts[1:])]


def _limit(limit: ast.Limit) -> str:
    match limit:
        case ast.RateLimit() | ast.TransferLimit():
            burst = "" if limit.burst is None else f" burst {limit.burst.written}"
            return f"{limit.kind} {limit.rate.written}{burst}"
        case ast.CountLimit():
            return f"{limit.kind} {limit.count.written}"
        case ast.SizeLimit():
            return f"{limit.kind} {limit.size.written}"


def _inner(condition: ast.Condition, in_parentheses: tuple[type, ...]) -> str:
    text = condition_text(condition)
    return f"({text})" if isinstance(condition, in_parentheses) else text


def _argument(path: ast.ArgumentPath) -> str:
    return "**" if path.is_all_leaves else ".".join(map(_argument_name, path.names))


def _argument_name(name: str) -> str:
    is_word = name.isascii() and name.replace("_", "a").isalnum() and not name[0].isdigit()
    return name if is_word else '"' + name.translate(_ARGUMENT_ESCAPES) + '"'


_ARGUMENT_ESCAPES = {ord(character): f"\\{character}" for character in '\\"$'} | {
    code: f"\\u{{{code:x}}}"
    for code in (*range(1, 0x20), *range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A))
}


def _check(test: ast.ArgumentCheck) -> str:
    match test:
        case ast.Matches():
            return " ".join(["matches", *([test.kind] if test.kind else []), test.pattern.written])
        case ast.Length():
            return f"length {test.comparison} {test.count.written}"
        case ast.Compare():
            return f"{test.comparison} {_scalar(test.value)}"
        case ast.In():
            return f"in [{', '.join(map(_scalar, test.values))}]"
        case ast.IsType():
            return f"is {test.type}"
        case ast.Exists():
            return "exists"


def _scalar(value: ast.Scalar) -> str:
    if isinstance(value, ast.JsonWord):
        return "null" if value.value is None else str(value.value).lower()
    return value.written


def _request(request: ast.Request) -> tuple[str, list[str]]:
    match request:
        case ast.FileRequest():
            pieces = ["made"] if request.is_made else []
            return f"{request.action} {request.path.written}", pieces + _named("via", request.via)
        case ast.ConnectRequest():
            pieces = [] if request.port is None else [f"port {request.port.written}"]
            pieces += [] if request.protocol is None else [f"protocol {request.protocol}"]
            pieces += [] if request.method is None else [f"method {request.method.text}"]
            pieces += [] if request.path is None else [f"path {request.path.written}"]
            pieces += _named("resolves", request.resolves) + _named("cname", request.cname)
            return f"connect {request.host.written}", pieces
        case ast.UnixRequest():
            return f"connect unix {request.path.written}", []
        case ast.ResolveRequest():
            return f"resolve {request.host.written}", []
        case ast.ListenRequest():
            return f"listen port {request.port.written}", []
        case ast.McpRequest():
            pieces = [] if request.arguments is None else _with(request.arguments)
            return f"{request.action} {request.subject.written}", pieces
        case ast.SyscallRequest():
            return f"syscall {request.name.text}", []


def _named(word: str, strings: Sequence[ast.StringLiteral]) -> list[str]:
    return [f"{word} {_strings(strings)}"] if strings else []


def _with(arguments: ast.JsonObject) -> list[str]:
    """Gives the pieces of `with { … }`, broken between the arguments."""
    if not arguments.pairs:
        return ["with {}"]
    texts = [f"{key.written}: {json_text(value)}" for key, value in arguments.pairs]
    pieces = [f"{text}," for text in texts[:-1]] + [f"{texts[-1]} }}"]
    pieces[0] = f"with {{ {pieces[0]}"
    return pieces
