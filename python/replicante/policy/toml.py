"""The older configuration as a policy: `sandbox.toml` becomes policy text, read like any other (§17)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_DOWN, Decimal
from fnmatch import fnmatchcase

from . import ast
from .diagnostics import Diagnostic, Source, in_order
from .findings_of_text import TextFindings
from .limits import default_burst
from .literals import SIZE_UNITS
from .parse import parse
from .shipped import BUILT_IN, shipped_path
from .toml_settings import Settings, read_settings

_MIB = 2**20
_MINUTE_NS = 60_000_000_000
_STAND_INS = "memory, processes, cpu, io, freeze, read-events"
_DEFAULT_PORTS = (80, 443)
_SERVER_ACTIONS = ("sampling", "elicitation", "roots")
_LITERAL = re.compile(r'[?\[\]{}\\"$]')
"""What is written with a backslash in a string to mean itself; `*` stays a wildcard."""


@dataclass(frozen=True, slots=True)
class Translation:
    """A configuration as policy text.

    Attributes:
        name: Name of the policy, after the file.
        text: The policy; what a person should know stands in it as comments.
        root: `filesystem.root`, the name inside; outside it is that directory, or a private one.
        workspace: What `${workspace}` stands for in a run, or None if the file says nothing of it.
        notes: What was resolved or reads differently, one line each.
    """

    name: str
    text: str
    root: str | None
    workspace: str | None
    notes: tuple[str, ...]


def translate(source: Source) -> tuple[Translation | None, list[Diagnostic]]:
    """Translates a configuration.

    Args:
        source: The text of a `.toml` file; its filename gives the policy its name.

    Returns:
        The translation, None if there is an error, and the findings at their keys (P001, P080 to P082).
    """
    findings = TextFindings(source)
    settings = read_settings(findings)
    if settings is None:
        return None, findings.diagnostics
    writer = _Writer(settings, findings)
    translation = writer.translation()
    return (None if findings.diagnostics else translation), in_order(findings.diagnostics)


def policy_name(filename: str) -> str:
    """Gives a policy the name of its file, in the language's alphabet and never that of a built-in."""
    stem = filename.replace("\\", "/").rpartition("/")[2].removesuffix(".toml")
    name = re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-")[:60] or "sandbox"
    name = name if name[0].isalpha() else f"p-{name}"
    return f"{name}-toml" if name in BUILT_IN else name


@dataclass(slots=True)
class _Writer:
    settings: Settings
    findings: TextFindings
    notes: list[str] = field(default_factory=list[str])
    _labels: Counter[str] = field(default_factory=Counter[str])

    def _rule(self, statement: str, key: str) -> str:
        """Labels a rule after its key; the second rule of a key has a 2 behind it."""
        label = f"toml-{key.replace('.', '-').replace('_', '-')}"
        self._labels[label] += 1
        number = self._labels[label]
        return f"{statement} as {label}" if number == 1 else f"{statement} as {label}-{number}"

    def translation(self) -> Translation:
        self._check()
        settings = self.settings
        mode = settings.words.get("mode")
        inherited: Mapping[str, int | ast.RateLimit] = {} if mode is None else _limits_of(mode)
        root = self._root()
        blocks = {
            "filesystem": [*self._files(root), *self._file_limits(inherited)],
            "network": [*self._network(mode), *self._network_limits(inherited)],
            "mcp": list(self._mcp(mode)),
            "resources": list(self._resources(inherited)),
        }
        filename = settings.source.filename
        name = policy_name(filename)
        lines = ["language 1", "", *(f"# {note}" for note in self.notes)]
        lines.append(f"policy {name} extends {mode or 'baseline'} {{")
        if mode is None:
            lines.append(f"  accept weaker {_STAND_INS}")
        for block, statements in blocks.items():
            if statements:
                lines += [f"  {block} {{", *(f"    {statement}" for statement in statements), "  }"]
        lines += ["}", ""]
        text = "\n".join(lines)
        return Translation(name, text, root, self._workspace(root), tuple(self.notes))

    def _error(self, key: str, message: str, *, code: str = "P081", fix: str | None = None) -> None:
        self.findings.error(code, self.settings.place(key), message, rule="§17", fix=fix)

    def _check(self) -> None:
        """Checks what contradicts itself."""
        settings = self.settings
        if settings.flags.get("enabled") is False:
            self._error(
                "enabled",
                "a file can't switch the sandbox off",
                fix="leave it out; running without the sandbox is a flag of the launcher",
            )
        if {"resources.max_open_files", "resources.max_file_descriptors"} <= settings.numbers.keys():
            self._error(
                "resources.max_file_descriptors",
                "`max_file_descriptors` is another word for `max_open_files`, and both are given",
                code="P082",
                fix="leave out `max_file_descriptors`",
            )
        mode, has_domains = settings.words.get("network.mode"), "network.allowed_domains" in settings.texts
        if mode == "none":
            for key in ("network.allowed_domains", "network.allowed_ports"):
                if key in settings.texts or key in settings.ports:
                    self._error(
                        key, f'`{key}` contradicts `network.mode = "None"`', fix="leave one of them out"
                    )
        elif "network.allowed_ports" in settings.ports and mode != "full" and not has_domains:
            self._error(
                "network.allowed_ports",
                "`allowed_ports` says nothing without `allowed_domains`",
                fix="list the domains",
            )
        if "*" in settings.texts.get("network.allowed_domains", ()):
            self._error(
                "network.allowed_domains",
                '`"*"` is no domain',
                code="P036",
                fix='write `mode = "Full"` for every host',
            )

    # ---- files ------------------------------------------------------------------------------------------

    def _root(self) -> str | None:
        for root in self.settings.texts.get("filesystem.root", ()):
            if not root.startswith("/"):
                self._error(
                    "filesystem.root", "`filesystem.root` is not absolute", fix="write it from `/` on"
                )
                return None
            return self._clean(root, "filesystem.root")
        return None

    def _workspace(self, root: str | None) -> str | None:
        if root is None:
            return None
        below = "/" if root == "/" else f"{root}/"
        for path in self.settings.texts.get("filesystem.write_paths", ()):
            resolved = path if path.startswith(("/", "~")) else f"{below}{path}"
            resolved = _normal(resolved)
            if resolved == root or resolved.startswith(below):
                return resolved
        return root

    def _files(self, root: str | None) -> Iterator[str]:
        if root is not None:
            yield self._rule(f'allow read "{_tree(_quoted(root))}"', "filesystem.root")
        for path in self._paths("filesystem.write_paths", root):
            yield self._rule(f'allow read, write, create, delete "{_tree(path)}"', "filesystem.write_paths")
        for path in self._paths("filesystem.read_only_paths", root):
            yield self._rule(f'allow read, execute "{_tree(path)}"', "filesystem.read_only_paths")
            yield self._rule(f'deny write, create, delete "{path}"', "filesystem.read_only_paths")
        for path in self._paths("filesystem.blocked_paths", root):
            yield self._rule(f'deny any "{path}"', "filesystem.blocked_paths")

    def _paths(self, key: str, root: str | None) -> Iterator[str]:
        """Gives the paths of a key as pattern text; a trailing `/*` or `/**` is the directory."""
        for path in self.settings.texts.get(key, ()):
            start = ""
            if path == "~" or path.startswith("~/"):
                start, rest = "${home}", path[1:]
                self.notes.append(f"{key}: `{_shown(path)}` is below the home directory")
            elif path.startswith("~"):
                self._error(key, f"`{_shown(path)}` is another user's home", fix="write it from `/` on")
                continue
            elif path.startswith("/"):
                rest = path
            else:
                start, rest = ("${workspace}" if root is None else _quoted(root.rstrip("/"))), f"/{path}"
                self.notes.append(
                    f"{key}: `{_shown(path)}` is below {'the workspace' if root is None else _shown(root)}"
                )
            cleaned = self._clean(rest, key) if rest else ""
            if cleaned is None:
                continue
            while cleaned.endswith(("/*", "/**")):
                cleaned = cleaned.rpartition("/")[0]
            yield f"{start}{_quoted(cleaned)}" or "/"

    def _clean(self, path: str, key: str) -> str | None:
        if ".." in path.split("/") or not path.isprintable():
            self._error(key, f"`{_shown(path)}` is not canonical", fix="write it without `..`")
            return None
        return _normal(path)

    def _file_limits(self, inherited: Mapping[str, int | ast.RateLimit]) -> Iterator[str]:
        for key, name in (("max_file_size_mb", "max-file"), ("max_total_size_mb", "max-total")):
            size = self._scaled(f"filesystem.{key}", _MIB)
            if size is not None:
                yield from self._limit(
                    f"limit {name} {_size(size)}", size, inherited.get(f"filesystem {name}"), key
                )

    # ---- network ----------------------------------------------------------------------------------------

    def _network(self, mode: str | None) -> Iterator[str]:
        settings = self.settings
        network = settings.words.get("network.mode")
        ports = settings.ports.get("network.allowed_ports")
        if network == "none" and mode in ("moderate", "permissive"):
            yield self._rule("deny connect any", "network.mode")
        if network == "full":
            written = ", ".join(map(str, ports)) if ports else "1..65535"
            yield self._rule(f"allow connect any port {written}", "network.mode")
        written = ", ".join(map(str, ports or _DEFAULT_PORTS))
        for domain in settings.texts.get("network.allowed_domains", ()):
            if domain.startswith("*."):
                self.notes.append(
                    f"network.allowed_domains: `{_shown(domain)}` covers `{_shown(domain[2:])}` too"
                )
                yield self._rule(
                    f'allow connect "*{_quoted(domain)}", "{_quoted(domain[2:])}" port {written}',
                    "network.allowed_domains",
                )
            elif domain != "*":
                yield self._rule(
                    f'allow connect "{_quoted(domain)}" port {written}', "network.allowed_domains"
                )
        for domain in settings.texts.get("network.blocked_domains", ()):
            host = "any" if domain == "*" else f'"{_quoted(domain.removeprefix("*."))}"'
            yield self._rule(f"deny connect {host}", "network.blocked_domains")
        blocked = settings.ports.get("network.blocked_ports")
        if blocked:
            yield self._rule(f"deny connect any port {', '.join(map(str, blocked))}", "network.blocked_ports")

    def _network_limits(self, inherited: Mapping[str, int | ast.RateLimit]) -> Iterator[str]:
        rate = self.settings.numbers.get("network.rate_limit_per_minute")
        if rate is not None:
            count = int(rate)
            older = inherited.get("network rate")
            statement = f"limit rate {count}/min burst {count}"
            if isinstance(older, ast.RateLimit):
                yield from self._rate_limit(statement, count, older)
            else:
                yield statement
        connections = self.settings.numbers.get("network.max_connections")
        if connections is not None:
            older = inherited.get("network connections")
            yield from self._limit(
                f"limit connections {int(connections)}", int(connections), older, "max_connections"
            )

    def _rate_limit(self, statement: str, count: int, older: ast.RateLimit) -> Iterator[str]:
        burst = older.burst.value if older.burst is not None else default_burst(older.rate.count)
        theirs = older.rate.count * _MINUTE_NS
        mine = count * older.rate.unit_ns
        if mine < theirs or count < burst:
            yield statement
        elif (mine, count) != (theirs, burst):
            self.notes.append(
                "network.rate_limit_per_minute: larger than the mode's limit, which it replaces"
            )
            yield f"override {statement}"

    # ---- resources --------------------------------------------------------------------------------------

    def _resources(self, inherited: Mapping[str, int | ast.RateLimit]) -> Iterator[str]:
        memory = self._scaled("resources.max_memory_mb", _MIB)
        if memory is not None:
            yield from self._limit(
                f"memory {_size(memory)}", memory, inherited.get("memory"), "max_memory_mb"
            )
        cpu = self._scaled("resources.max_cpu_percent", 10)
        if cpu is not None:
            text = f"cpu {cpu // 1000}.{cpu % 1000:03d}"
            yield from self._limit(text, cpu, inherited.get("cpu"), "max_cpu_percent")
        for key, name in (
            ("max_processes", "processes"),
            ("max_threads", "threads"),
            ("max_open_files", "open-files"),
            ("max_file_descriptors", "open-files"),
        ):
            number = self.settings.numbers.get(f"resources.{key}")
            if number is not None:
                if key == "max_file_descriptors":
                    self.notes.append("resources.max_file_descriptors: deprecated, write `max_open_files`")
                yield from self._limit(f"{name} {int(number)}", int(number), inherited.get(name), key)

    def _scaled(self, key: str, factor: int) -> int | None:
        """Gives an amount in its smallest unit, fractions rounded down (D9)."""
        number = self.settings.numbers.get(key)
        if number is None:
            return None
        scaled = (
            int((number * factor).to_integral_value(rounding=ROUND_DOWN))
            if number < Decimal(2**63)
            else 2**63
        )
        if scaled < 1:
            self._error(key, f"`{key}` is below its smallest unit")
            return None
        if scaled >= 2**63:
            self._error(key, f"`{key}` is too large")
            return None
        return scaled

    def _limit(
        self, statement: str, value: int, older: int | ast.RateLimit | None, key: str
    ) -> Iterator[str]:
        """Gives a limit; one that is larger than the mode's replaces it, an equal one says nothing."""
        if not isinstance(older, int) or value < older:
            yield statement
        elif value > older:
            self.notes.append(f"{key}: larger than the mode's limit, which it replaces")
            yield f"override {statement}"

    # ---- MCP --------------------------------------------------------------------------------------------

    def _mcp(self, mode: str | None) -> Iterator[str]:
        settings = self.settings
        rates = dict(settings.rates)
        tools = [
            tool for tool in map(self._allowed_tool, settings.texts.get("mcp.allowed_tools", ())) if tool
        ]
        named = {tool.server for tool in tools}
        covering = ["*:*"] if mode == "permissive" else []
        for server in settings.texts.get("mcp.allowed_servers", ()):
            if server not in named and self._is_server(server, "mcp.allowed_servers"):
                covering.append(f"{server}:*")
                yield self._rule(
                    f'allow call "{_quoted(server)}:*"{_rate(rates.pop(f"{server}:*", None))}',
                    "mcp.allowed_servers",
                )
        for tool in tools:
            covering.append(tool.subject)
        for tool in tools:
            rate = _rate(settings.rates.get(tool.subject))
            rates.pop(tool.subject, None)
            yield self._rule(
                f'allow call "{_quoted(tool.subject)}"{tool.condition("some", "every")}{rate}',
                "mcp.allowed_tools",
            )
        yield from self._tool_rates(rates, covering)
        for server in settings.texts.get("mcp.blocked_servers", ()):
            if self._is_server(server, "mcp.blocked_servers"):
                quoted = _quoted(server)
                yield self._rule(f'deny call "{quoted}:*"', "mcp.blocked_servers")
                yield self._rule(f'deny resource "{quoted}:**"', "mcp.blocked_servers")
                yield self._rule(f'deny prompt "{quoted}:*"', "mcp.blocked_servers")
                for action in _SERVER_ACTIONS:
                    yield self._rule(f'deny {action} "{quoted}"', "mcp.blocked_servers")
        for text in settings.texts.get("mcp.blocked_tools", ()):
            tool = self._tool(text, "mcp.blocked_tools")
            if tool is not None:
                yield self._rule(
                    f'deny call "{_quoted(tool.subject)}"{tool.condition("some")}', "mcp.blocked_tools"
                )

    def _tool_rates(self, rates: Mapping[str, int], covering: Iterable[str]) -> Iterator[str]:
        for subject, count in rates.items():
            tool = self._tool(subject, "mcp.tool_rate_limits")
            if tool is None:
                continue
            if any(fnmatchcase(tool.subject, pattern) for pattern in covering):
                yield self._rule(
                    f'allow call "{_quoted(tool.subject)}"{_rate(count)}', "mcp.tool_rate_limits"
                )
            else:
                self._error(
                    "mcp.tool_rate_limits",
                    f"`{_shown(subject)}` has a rate, but nothing allows it",
                    fix="name it in `allowed_tools` or its server in `allowed_servers`",
                )

    def _is_server(self, server: str, key: str) -> bool:
        if ":" in server:
            self._error(
                key,
                f"`{_shown(server)}` is no server's name",
                fix="tools stand in `allowed_tools` or `blocked_tools`",
            )
            return False
        return True

    def _allowed_tool(self, text: str) -> _Tool | None:
        return self._tool(text, "mcp.allowed_tools")

    def _tool(self, text: str, key: str) -> _Tool | None:
        if text == "*":
            return _Tool("*", "*", None, is_blocked=False)
        server, _, rest = text.partition(":")
        name, colon, pattern = rest.partition(":")
        if not server or not name or (colon and not pattern):
            self._error(
                key,
                f"`{_shown(text)}` is not `SERVER:TOOL`",
                fix="write `SERVER:TOOL` or `SERVER:TOOL:PATTERN`",
            )
            return None
        return _Tool(server, name, pattern or None, is_blocked=key == "mcp.blocked_tools")


@dataclass(frozen=True, slots=True)
class _Tool:
    """`SERVER:TOOL` or `SERVER:TOOL:PATTERN`."""

    server: str
    name: str
    pattern: str | None
    is_blocked: bool

    @property
    def subject(self) -> str:
        return f"{self.server}:{self.name}"

    def condition(self, *quantifiers: str) -> str:
        """Gives the condition over all arguments that the pattern stands for, or nothing."""
        if self.pattern is None:
            return ""
        if self.pattern.startswith("/"):
            path = self.pattern
            while self.is_blocked and path.endswith(("/*", "/**")) and path.count("/") > 1:
                path = path.rpartition("/")[0]  # a denied directory covers what lies below
            test = f'matches path "{_quoted(path)}"'
        else:
            test = f'matches text "{_quoted(self.pattern)}"'
        return " where " + " and ".join(f"{quantifier} arg ** {test}" for quantifier in quantifiers)


def _limits_of(mode: str) -> Mapping[str, int | ast.RateLimit]:
    """Gives the limits that a built-in states: resources by key, others as `BLOCK KIND`."""
    path = shipped_path(mode)
    if path is None:
        raise FileNotFoundError(f"the built-in policy {mode} is missing from this installation")
    file, _ = parse(Source(path.read_text(encoding="utf-8"), path.name))
    found: dict[str, int | ast.RateLimit] = {}
    for item in file.policies[0].items if file is not None else ():
        if isinstance(item, ast.ResourcesBlock):
            found.update(
                {
                    limit.key: limit.value.value
                    for limit in item.items
                    if isinstance(limit.value, ast.Quantity)
                }
            )
        elif isinstance(item, ast.RuleBlock):
            for statement in item.items:
                if isinstance(statement, ast.BlockLimit):
                    found.update({f"{item.kind} {limit.kind}": _amount(limit) for limit in statement.limits})
    return found


def _amount(limit: ast.Limit) -> int | ast.RateLimit:
    match limit:
        case ast.SizeLimit():
            return limit.size.value
        case ast.CountLimit():
            return limit.count.value
        case ast.RateLimit():
            return limit
        case ast.TransferLimit():
            return limit.rate.count


def _normal(path: str) -> str:
    """Gives a path without empty and dot segments."""
    return "/" + "/".join(part for part in path.split("/") if part not in ("", "."))


def _tree(path: str) -> str:
    return "/**" if path == "/" else f"{path}/**"


def _rate(count: int | None) -> str:
    return "" if count is None else f" rate {count}/min burst {count}"


def _size(size: int) -> str:
    unit = next(unit for unit in reversed(list(SIZE_UNITS)) if size % SIZE_UNITS[unit] == 0)
    return f"{size // SIZE_UNITS[unit]}{unit}"


def _quoted(text: str) -> str:
    """Gives a text as the inside of a string: `*` is a wildcard, every other character itself."""
    return "".join(_escaped(character) for character in text)


def _escaped(character: str) -> str:
    if _LITERAL.match(character):
        return f"\\{character}"
    return character if character.isprintable() else f"\\u{{{ord(character):x}}}"


def _shown(text: str) -> str:
    return text[:80] if text.isprintable() else ascii(text)[1:81]
