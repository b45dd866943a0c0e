"""From the parser's tree to the syntax tree: files, policies, statements (Appendix A)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import cast

from lark import Token

from . import ast, literals
from .build_mcp import condition, json_object
from .clause_table import BLOCK_LIMITS, RULE_LIMITS, check_clauses, check_limits
from .diagnostics import Span
from .findings_of_text import TextFindings
from .grammar import Node

MAX_NAME = 64
"""Characters of a name or label (T3)."""

MAX_EXPECTATIONS = 10_000
"""Expectations of one policy (X3)."""

_FLAGS: Mapping[str, ast.FlagKind] = {
    "EXACTLY": "exactly",
    "HIDDEN": "hidden",
    "EXISTING": "existing",
    "PUBLISH": "publish",
}


class TreeBuilder:
    """Builds the syntax tree of one source; what the grammar cannot say is told as a finding."""

    def __init__(self, findings: TextFindings) -> None:
        self._findings = findings
        self._text = findings.source.text
        self._items: Mapping[str, Callable[[Node], ast.PolicyItem]] = {
            "description": lambda node: ast.Description(self._string(node.children[0]), self._span(node)),
            "workspace": self._workspace,
            "home": self._home,
            "accept": self._accept,
            "never": self._rule,
            "alert": self._alert,
            "tripwire": self._tripwire,
            "test": self._test,
            "filesystem": self._rule_block,
            "network": self._rule_block,
            "mcp": self._rule_block,
            "resources": self._resources,
            "syscalls": lambda node: ast.SyscallsBlock(
                tuple(self._syscall_rule(child) for child in _trees(node)),
                self._keyword(node),
                self._span(node),
            ),
            "capabilities": lambda node: ast.CapabilitiesBlock(
                tuple(self._capability(child) for child in _trees(node)),
                self._keyword(node),
                self._span(node),
            ),
            "environment": lambda node: ast.EnvironmentBlock(
                tuple(self._environment(child) for child in _trees(node)),
                self._keyword(node),
                self._span(node),
            ),
        }

    def file(self, root: Node, comments: tuple[ast.Comment, ...]) -> ast.File:
        """Gives a whole file."""
        imports: list[ast.Import] = []
        policies: list[ast.Policy] = []
        for child in _trees(root):
            if child.data == "policy":
                policies.append(self._policy(child))
            elif child.data == "import_stmt":
                imports.append(ast.Import(self._string(child.children[0]), self._span(child)))
            else:
                self._header(child)
        return ast.File(tuple(imports), tuple(policies), comments, Span(0, len(self._text), 1, 1))

    def request(self, root: Node) -> ast.Request:
        """Gives one request, as after `expect`."""
        return self._request(_trees(root)[0])

    # ---- positions and words ----------------------------------------------------------------------------

    def _span(self, node: Node) -> Span:
        """Gives the span of a statement without the `;` that may end it."""
        end = node.end
        if self._text[end - 1] == ";":
            end -= 1
            while self._text[end - 1].isspace():
                end -= 1
        return Span(node.start, end, node.line, node.column)

    @staticmethod
    def _keyword(node: Node) -> Span:
        return literals.span_of(_tokens(node)[0])

    def _string(self, token: Token | Node) -> ast.StringLiteral:
        return literals.string(_token(token), self._findings)

    def _strings(self, node: Node) -> tuple[ast.StringLiteral, ...]:
        return tuple(self._string(token) for token in _tokens(node) if token.type == "STRING")

    def _name(self, token: Token | Node) -> ast.Word:
        name = literals.word(_token(token))
        if len(name.text) > MAX_NAME:
            self._findings.error("P001", name.span, f"a name has at most {MAX_NAME} characters", rule="T3")
        return name

    # ---- file and policy --------------------------------------------------------------------------------

    def _header(self, node: Node) -> None:
        token = _tokens(node)[0]
        if str(token) != "1":
            self._findings.error(
                "P006",
                literals.span_of(token),
                f"language version {token} is not understood; version 1 is",
                rule="T7",
                fix="write `language 1`",
            )

    def _policy(self, node: Node) -> ast.Policy:
        name, *rest = node.children
        extends: tuple[ast.Word, ...] = ()
        items: list[ast.PolicyItem] = []
        for child in cast("list[Node]", rest):
            if child.data == "extends":
                extends = tuple(self._name(token) for token in child.children)
            else:
                items.append(self._items[child.data](child))
        self._check_once(items)
        return ast.Policy(self._name(name), extends, tuple(items), self._span(node))

    def _check_once(self, items: Iterable[ast.PolicyItem]) -> None:
        """Checks what a policy may say once: description, workspace, home, each block (P014, P061)."""
        seen: dict[str, Span] = {}
        expectations = 0
        for item in items:
            match item:
                case ast.Description() | ast.Workspace() | ast.Home():
                    word, code, rule = type(item).__name__.lower(), "P014", None
                    span = item.span
                case (
                    ast.RuleBlock()
                    | ast.ResourcesBlock()
                    | ast.SyscallsBlock()
                    | ast.CapabilitiesBlock()
                    | ast.EnvironmentBlock()
                ):
                    word, code, rule, span = item.kind, "P061", "§15", item.keyword
                case ast.Test():
                    expectations += len(item.expectations)
                    if expectations > MAX_EXPECTATIONS:
                        self._findings.error(
                            "P007",
                            item.name.span,
                            f"a policy has at most {MAX_EXPECTATIONS} expectations",
                            rule="X3",
                        )
                        expectations = 0
                    continue
                case _:
                    continue
            if word in seen:
                what = (
                    "stated twice" if code == "P014" else "repeated: all of its statements go into one block"
                )
                self._findings.error(code, span, f"`{word}` is {what}", rule=rule, first=seen[word])
            seen.setdefault(word, span)

    def _workspace(self, node: Node) -> ast.Workspace:
        tokens = _tokens(node)
        return ast.Workspace(cast("ast.Layer", str(tokens[-1])), len(tokens) > 1, self._span(node))

    def _home(self, node: Node) -> ast.Home:
        tokens = _tokens(node)
        return ast.Home(cast("ast.HomeKind", str(tokens[-1])), len(tokens) > 1, self._span(node))

    def _accept(self, node: Node) -> ast.AcceptWeaker:
        names = tuple(self._name(token) for token in _tokens(node) if token.type == "NAME")
        return ast.AcceptWeaker(names, next(iter(self._strings(node)), None), self._span(node))

    # ---- rules ------------------------------------------------------------------------------------------

    def _rule_block(self, node: Node) -> ast.RuleBlock:
        kind = cast("ast.RuleBlockKind", node.data)
        items: list[ast.RuleStatement] = []
        for child in _trees(node):
            match child.data:
                case "block_limit":
                    is_override = any(token.type == "OVERRIDE" for token in _tokens(child))
                    limits = tuple(self._limit(limit) for limit in _trees(child))
                    check_limits(limits, BLOCK_LIMITS[kind], f"the limits of `{kind}`", self._findings)
                    items.append(ast.BlockLimit(is_override, limits, self._span(child)))
                case "limits_of":
                    limits = tuple(self._limit(limit) for limit in _trees(child))
                    check_limits(limits, RULE_LIMITS[kind], f"a rule of `{kind}`", self._findings)
                    items.append(ast.LimitsOf(literals.word(_tokens(child)[1]), limits, self._span(child)))
                case "pin":
                    subject, *digest = self._strings(child)
                    items.append(ast.Pin(subject, digest[0] if digest else None, self._span(child)))
                case _:
                    items.append(self._rule(child))
        return ast.RuleBlock(kind, tuple(items), self._keyword(node), self._span(node))

    def _rule(self, node: Node) -> ast.Rule:
        first, head, *clauses = node.children
        if isinstance(first, Token):  # `never`
            effect, keyword = "never", literals.span_of(first)
        else:
            token = _tokens(first)[0]
            keyword = literals.span_of(token)
            effect = "override_allow" if token.type == "OVERRIDE" else str(token)
        rule = ast.Rule(
            cast("ast.Effect", effect),
            self._head(cast("Node", head)),
            tuple(self._clause(clause) for clause in clauses),
            keyword,
            self._span(node),
        )
        check_clauses(rule, self._findings)
        return rule

    def _head(self, node: Node) -> ast.Head:
        span = self._span(node)
        match node.data:
            case "fs_head":
                tokens = _tokens(node)
                actions = tuple(literals.word(token) for token in tokens if token.type == "FS_ACTION")
                return ast.FileHead(tokens[0].type == "ANY", actions, self._strings(node), span)
            case "connect" | "resolve":
                action = node.data
                return ast.HostHead(action, self._hosts(_trees(node)[0]), span)
            case "connect_unix":
                return ast.UnixHead(self._strings(node), span)
            case "listen":
                return ast.ListenHead(span)
            case _:
                exposed = _trees(node)
                return ast.McpHead(
                    cast("ast.McpAction", str(_tokens(node)[0])),
                    self._strings(node),
                    self._strings(exposed[0]) if exposed else None,
                    span,
                )

    def _hosts(self, node: Node) -> ast.Hosts:
        tokens = _tokens(node)
        if tokens[0].type == "ANY":
            return ast.Hosts(True, (), self._span(node))
        items = tuple(
            self._string(token)
            if token.type == "STRING"
            else ast.HostSet(str(token), literals.span_of(token))
            for token in tokens
        )
        return ast.Hosts(False, items, self._span(node))

    def _clause(self, node: Node | Token) -> ast.Clause:
        if isinstance(node, Token):
            return ast.Flag(_FLAGS[node.type], literals.span_of(node))
        span = self._span(node)
        match node.data:
            case "label":
                return ast.Label(self._name(node.children[0]), span)
            case "because":
                return ast.Because(self._string(node.children[0]), span)
            case "unless_inert":
                return ast.Flag("unless-inert", span)
            case "inspect":
                return ast.Flag("inspect", span)
            case "port":
                return ast.Port(self._ports(node), span)
            case "protocol":
                return ast.ProtocolClause(cast("ast.Protocol", str(node.children[0])), span)
            case "method":
                return ast.Method(tuple(literals.word(token) for token in _tokens(node)), span)
            case "url_path":
                return ast.UrlPath(self._strings(node), span)
            case "to":
                return ast.To(tuple(literals.word(token) for token in _tokens(node)), span)
            case "where":
                return ast.Where(condition(_trees(node)[0], self._findings), span)
            case _:
                return self._limit(node)

    def _ports(self, node: Node) -> tuple[ast.PortRange, ...]:
        ranges: list[ast.PortRange] = []
        for item in _trees(node):
            ends = [literals.port(token, self._findings) for token in _tokens(item)]
            low, high = ends[0], ends[-1]
            span = self._span(item)
            if low.value > high.value:
                self._findings.error(
                    "P012",
                    span,
                    f"the range {low.written}..{high.written} is empty",
                    rule="T5",
                    fix="write the lower end first",
                    replace=f"{high.written}..{low.written}",
                )
            ranges.append(ast.PortRange(low.value, high.value, span))
        return tuple(ranges)

    def _limit(self, node: Node) -> ast.Limit:
        span, findings = self._span(node), self._findings
        kind = str(node.data).replace("_", "-")
        first, *rest = _tokens(node)
        match kind:
            case "rate":
                burst = literals.count(rest[0], findings) if rest else None
                return ast.RateLimit(literals.rate(first, findings), burst, span)
            case "upload" | "download":
                burst = literals.size(rest[0], findings) if rest else None
                return ast.TransferLimit(kind, literals.rate(first, findings), burst, span)
            case "connections" | "max-files":
                return ast.CountLimit(kind, literals.count(first, findings), span)
            case _:
                size_kind = cast("ast.SizeLimitKind", kind)
                return ast.SizeLimit(size_kind, literals.size(first, findings), span)

    # ---- resources, system calls, capabilities, environment -----------------------------------------------

    def _resources(self, node: Node) -> ast.ResourcesBlock:
        items: list[ast.ResourceLimit] = []
        seen: dict[str, Span] = {}
        for child in _trees(node):
            tokens = _tokens(child)
            is_override = tokens[0].type == "OVERRIDE"
            key, value = tokens[-2:]
            span = self._span(child)
            if key in seen:
                self._findings.error("P014", span, f"`{key}` is stated twice", rule="L1", first=seen[key])
            seen.setdefault(str(key), span)
            items.append(ast.ResourceLimit(str(key), self._resource_value(key, value), is_override, span))
        return ast.ResourcesBlock(tuple(items), self._keyword(node), self._span(node))

    def _resource_value(self, key: Token, value: Token) -> ast.Quantity | ast.Rate:
        match key.type:
            case "SIZE_KEY":
                return literals.size(value, self._findings, zero=key == "swap")
            case "COUNT_KEY":
                return literals.count(value, self._findings)
            case "TIME_KEY":
                return literals.duration(value, self._findings)
            case "IO_KEY":
                return literals.rate(value, self._findings)
            case _:
                return literals.cores(value, self._findings)

    def _syscall_rule(self, node: Node) -> ast.SyscallRule:
        token = _tokens(cast("Node", node.children[0]))[0]
        effect = "override_allow" if token.type == "OVERRIDE" else str(token)
        seen: dict[str, Span] = {}
        values: dict[str, Token] = {}
        is_kill = False
        for child in node.children[1:]:
            if isinstance(child, Token):
                if child.type != "KILL":
                    continue
                name, span, is_kill = "kill", literals.span_of(child), True
            else:
                name, span = str(child.data), self._span(child)
                values[name] = _tokens(child)[0]
            self._check_syscall_clause("as" if name == "label" else name, span, effect, seen)
        return ast.SyscallRule(
            cast("ast.SyscallEffect", effect),
            tuple(literals.word(name) for name in _tokens(node) if name.type in ("SYSCALL", "SYSGROUP")),
            literals.word(values["errno"]) if "errno" in values else None,
            is_kill,
            self._name(values["label"]) if "label" in values else None,
            self._string(values["because"]) if "because" in values else None,
            literals.span_of(token),
            self._span(node),
        )

    def _check_syscall_clause(self, name: str, span: Span, effect: str, seen: dict[str, Span]) -> None:
        if name in seen:
            self._findings.error("P014", span, f"`{name}` is stated twice", first=seen[name])
        elif name in ("errno", "kill") and effect != "deny":
            self._findings.error(
                "P013", span, f"`{name}` is valid after `deny` only", rule="C1", fix=f"leave out `{name}`"
            )
        elif {name, *seen} >= {"errno", "kill"}:
            self._findings.error(
                "P013", span, "a rule has either `errno` or `kill`", rule="C1", fix=f"leave out `{name}`"
            )
        seen.setdefault(name, span)

    def _capability(self, node: Node) -> ast.CapabilityRule:
        tokens = _tokens(node)
        return ast.CapabilityRule(
            "drop" if tokens[0].type == "DROP" else "keep",
            tokens[0].type == "OVERRIDE",
            tuple(literals.word(token) for token in tokens if token.type == "ENVNAME"),
            next(iter(self._strings(node)), None),
            self._span(node),
        )

    def _environment(self, node: Node) -> ast.EnvironmentStatement:
        tokens, span = _tokens(node), self._span(node)
        if node.data == "env_names":
            verb = cast("ast.KeepOrDrop", str(tokens[0]))
            return ast.EnvironmentNames(verb, tuple(literals.word(token) for token in tokens[1:]), span)
        if node.data == "env_set":
            return ast.EnvironmentSet(literals.word(tokens[0]), self._string(tokens[1]), span)
        name, source, value, *hosts = tokens
        return ast.Secret(
            literals.word(name),
            cast("ast.SecretSource", str(source)),
            literals.word(value) if source.type == "ENV_SOURCE" else self._string(value),
            tuple(self._string(host) for host in hosts) or None,
            span,
        )

    # ---- alerts and tripwires ---------------------------------------------------------------------------

    def _alert(self, node: Node) -> ast.Alert:
        tokens, trees = _tokens(node), _trees(node)
        clear = literals.duration(_tokens(trees[1])[0], self._findings) if len(trees) > 1 else None
        return ast.Alert(
            self._name(tokens[0]),
            cast("ast.Severity", str(tokens[1])),
            self._measure(trees[0]),
            clear,
            tuple(literals.word(token) for token in tokens[2:]),
            self._span(node),
        )

    def _measure(self, node: Node) -> ast.Measure:
        event, *rest = _tokens(node)
        pattern = self._string(rest.pop(0)) if rest and rest[0].type == "STRING" else None
        threshold = window = None
        if rest:
            read = {"count": literals.count, "volume": literals.size, "usage": literals.percent}[node.data]
            threshold = read(rest[0], self._findings)
            window = literals.duration(rest[1], self._findings)
        if pattern is not None and event.endswith((".syscall", ".resource", ".any")):
            self._findings.error(
                "P013", pattern.span, f"a pattern is not valid after `{event}`", rule="A1", fix="leave it out"
            )
        kind = cast("ast.MeasureKind", node.data)
        return ast.Measure(kind, literals.word(event), pattern, threshold, window, self._span(node))

    def _tripwire(self, node: Node) -> ast.Tripwire:
        name, *reactions = _tokens(node)
        return ast.Tripwire(
            self._name(name),
            self._target(_trees(node)[0]),
            tuple(literals.word(token) for token in reactions),
            self._span(node),
        )

    def _target(self, node: Node) -> ast.PathTarget | ast.HostTarget | ast.CallTarget:
        span = self._span(node)
        if node.data == "trip_host":
            return ast.HostTarget(self._hosts(_trees(node)[0]), span)
        strings = self._strings(node)
        return ast.PathTarget(strings, span) if node.data == "trip_path" else ast.CallTarget(strings, span)

    # ---- tests ------------------------------------------------------------------------------------------

    def _test(self, node: Node) -> ast.Test:
        expectations = tuple(
            ast.Expectation(
                cast("ast.Outcome", str(_tokens(child)[0])),
                self._request(_trees(child)[0]),
                self._span(child),
            )
            for child in _trees(node)
        )
        return ast.Test(self._string(node.children[0]), expectations, self._span(node))

    def _request(self, node: Node) -> ast.Request:
        span, tokens = self._span(node), _tokens(node)
        match node.data:
            case "req_fs":
                path, *via = self._strings(node)
                is_made = any(token.type == "MADE" for token in tokens)
                return ast.FileRequest(
                    cast("ast.FileAction", str(tokens[0])), path, is_made, tuple(via), span
                )
            case "req_connect":
                return self._connect_request(node)
            case "req_unix":
                return ast.UnixRequest(self._string(tokens[0]), span)
            case "req_resolve":
                return ast.ResolveRequest(self._string(tokens[0]), span)
            case "req_listen":
                return ast.ListenRequest(literals.port(tokens[0], self._findings, zero=True), span)
            case "req_mcp":
                arguments = _trees(node)
                return ast.McpRequest(
                    cast("ast.McpAction", str(tokens[0])),
                    self._string(tokens[1]),
                    json_object(arguments[0], self._findings) if arguments else None,
                    span,
                )
            case _:
                return ast.SyscallRequest(literals.word(tokens[0]), span)

    def _connect_request(self, node: Node) -> ast.ConnectRequest:
        stated: dict[str, Node] = {}
        for child in _trees(node):
            name = str(child.data).removeprefix("req_")
            if name in stated:
                self._findings.error(
                    "P014", self._span(child), f"`{name}` is stated twice", first=self._span(stated[name])
                )
            stated.setdefault(name, child)

        def token(name: str) -> Token | None:
            return _tokens(stated[name])[0] if name in stated else None

        port, method, path = token("port"), token("method"), token("path")
        protocol = token("protocol")
        return ast.ConnectRequest(
            self._string(_tokens(node)[0]),
            None if port is None else literals.port(port, self._findings),
            None if protocol is None else cast("ast.Protocol", str(protocol)),
            None if method is None else literals.word(method),
            None if path is None else self._string(path),
            self._strings(stated["resolves"]) if "resolves" in stated else (),
            self._strings(stated["cname"]) if "cname" in stated else (),
            self._span(node),
        )


def _tokens(node: Node | Token) -> list[Token]:
    return [child for child in cast("Node", node).children if isinstance(child, Token)]


def _trees(node: Node) -> list[Node]:
    return [child for child in node.children if not isinstance(child, Token)]


def _token(child: Token | Node) -> Token:
    return cast("Token", child)
