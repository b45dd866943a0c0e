"""Reading the older configuration, `sandbox.toml`: its keys, their types and places (§17)."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal, TypeAlias, cast

from .checks.names import did_you_mean
from .diagnostics import Source, Span
from .findings_of_text import TextFindings

Toml: TypeAlias = "bool | int | float | Decimal | str | list[Toml] | dict[str, Toml] | object"
Kind = Literal["flag", "word", "text", "texts", "ports", "count", "amount", "rates"]

KEYS: Mapping[str, Kind] = {
    "enabled": "flag",
    "mode": "word",
    "filesystem.root": "text",
    "filesystem.write_paths": "texts",
    "filesystem.read_only_paths": "texts",
    "filesystem.blocked_paths": "texts",
    "filesystem.max_file_size_mb": "amount",
    "filesystem.max_total_size_mb": "amount",
    "network.mode": "word",
    "network.allowed_domains": "texts",
    "network.blocked_domains": "texts",
    "network.allowed_ports": "ports",
    "network.blocked_ports": "ports",
    "network.rate_limit_per_minute": "count",
    "network.max_connections": "count",
    "resources.max_memory_mb": "amount",
    "resources.max_cpu_percent": "amount",
    "resources.max_processes": "count",
    "resources.max_threads": "count",
    "resources.max_open_files": "count",
    "resources.max_file_descriptors": "count",
    "mcp.allowed_servers": "texts",
    "mcp.blocked_servers": "texts",
    "mcp.allowed_tools": "texts",
    "mcp.blocked_tools": "texts",
    "mcp.tool_rate_limits": "rates",
}
"""Every key below `sandbox`, and what its value is."""

_WORDS: Mapping[str, tuple[str, ...]] = {
    "mode": ("strict", "moderate", "permissive"),
    "network.mode": ("none", "filtered", "full"),
}
_TABLES = frozenset(key.partition(".")[0] for key in KEYS if "." in key)
_EXPECTED: Mapping[Kind, str] = {
    "flag": "`true`",
    "word": "a string",
    "text": "a string that is not empty",
    "texts": "a list of strings that are not empty",
    "ports": "a list of ports from 1 to 65535",
    "count": "a whole number, at least 1",
    "amount": "a number greater than zero",
    "rates": "a table of whole numbers, at least 1",
}

_LARGEST = 2**63 - 1
_LARGEST_PORT = 65_535
_BARE_OR_QUOTED = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*')"""
_HEADER = re.compile(rf"\s*\[\s*({_BARE_OR_QUOTED}(?:\s*\.\s*{_BARE_OR_QUOTED})*)\s*\]")
_KEY = re.compile(rf"\s*({_BARE_OR_QUOTED}(?:\s*\.\s*{_BARE_OR_QUOTED})*)\s*=")
_PART = re.compile(_BARE_OR_QUOTED)
_SKIPPED = re.compile(r"""\"\"\"|'''|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'|\#[^\n]*|[\[\]{}]""")
_ERROR_PLACE = re.compile(r"\(at (?:line (\d+), column (\d+)|end of document)\)")


@dataclass(slots=True)
class Settings:
    """The keys that a file states, all of them of the right type.

    Attributes:
        source: The file.
        flags: `enabled`.
        words: Keys of kind `word`, lower-case.
        texts: Keys of kind `text` and `texts`, without empty lists.
        ports: Keys of kind `ports`, without empty lists.
        numbers: Keys of kind `count` and `amount`, exact.
        rates: The entries of `mcp.tool_rate_limits`.
        places: Where each key is written.
    """

    source: Source
    flags: dict[str, bool] = field(default_factory=dict[str, bool])
    words: dict[str, str] = field(default_factory=dict[str, str])
    texts: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    ports: dict[str, tuple[int, ...]] = field(default_factory=dict[str, tuple[int, ...]])
    numbers: dict[str, Decimal] = field(default_factory=dict[str, Decimal])
    rates: dict[str, int] = field(default_factory=dict[str, int])
    places: Mapping[str, Span] = field(default_factory=dict[str, Span])

    def place(self, key: str) -> Span:
        """Gives where a key below `sandbox` is written, or the table that holds it."""
        path = f"sandbox.{key}"
        while path and path not in self.places:
            path = path.rpartition(".")[0]
        return self.places.get(path) or self.source.span(0, 0)


def read_settings(findings: TextFindings) -> Settings | None:
    """Reads the text of a configuration; None if it is no TOML (P001) or has nothing below `sandbox`."""
    source = findings.source
    try:
        document = cast("dict[str, Toml]", tomllib.loads(source.text, parse_float=Decimal))
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        _tell_broken(error, findings)
        return None
    settings = Settings(source, places=dict(_key_places(source)))
    for key in document:
        if key != "sandbox":
            _tell_unknown(key, key, ("sandbox",), settings, findings)
    sandbox = document.get("sandbox")
    if not isinstance(sandbox, dict):
        span = settings.places.get("sandbox") or source.span(0, 0)
        findings.error(
            "P081", span, "there is no table `sandbox`", rule="§17", fix="put the keys below `[sandbox]`"
        )
        return None
    for key, value in cast("dict[str, Toml]", sandbox).items():
        _read_key(key, value, settings, findings)
    return settings


def _tell_broken(error: Exception, findings: TextFindings) -> None:
    text = str(error)
    found = _ERROR_PLACE.search(text)
    source = findings.source
    offset = max(0, len(source.text) - 1)
    if found is not None and found[1] is not None:
        lines = source.text.splitlines(keepends=True)
        offset = sum(map(len, lines[: int(found[1]) - 1])) + int(found[2]) - 1
    what = _ERROR_PLACE.sub("", text).strip().rstrip(".")
    message = f"the file is no valid TOML: {what[:1].lower()}{what[1:200]}"
    findings.error(
        "P001",
        source.span(min(offset, len(source.text)), min(offset + 1, len(source.text))),
        message,
        rule="§17",
    )


def _read_key(key: str, value: Toml, settings: Settings, findings: TextFindings) -> None:
    if key in _TABLES:
        if not isinstance(value, dict):
            findings.error("P081", settings.place(key), f"`{key}` is not a table", rule="§17")
            return
        for inner, part in cast("dict[str, Toml]", value).items():
            path = f"{key}.{inner}"
            if path in KEYS:
                _read_value(path, part, settings, findings)
            else:
                siblings = tuple(k.partition(".")[2] for k in KEYS if k.startswith(f"{key}."))
                _tell_unknown(f"sandbox.{path}", inner, siblings, settings, findings)
    elif key in KEYS:
        _read_value(key, value, settings, findings)
    else:
        known = (*(k for k in KEYS if "." not in k), *_TABLES)
        _tell_unknown(f"sandbox.{key}", key, known, settings, findings)


def _tell_unknown(
    path: str, key: str, known: tuple[str, ...], settings: Settings, findings: TextFindings
) -> None:
    span = settings.places.get(path) or settings.place(path.removeprefix("sandbox."))
    meant = did_you_mean(key, known)
    if meant is None:  # a key that stands in the wrong table
        elsewhere = next((k for k in KEYS if k.rpartition(".")[2] == key), None)
        fix = None if elsewhere is None else f"it stands below `sandbox`: `sandbox.{elsewhere}`"
    else:
        fix = f"did you mean `{meant}`?"
    findings.error("P080", span, f"unknown key `{path[:80]}`", rule="§17", fix=fix)


def _read_value(key: str, value: Toml, settings: Settings, findings: TextFindings) -> None:
    kind = KEYS[key]
    if not _store(key, kind, value, settings):
        findings.error(
            "P081",
            settings.place(key),
            f"`{key}` is not {_EXPECTED[kind]}",
            rule="§17",
            fix=f"write {_EXPECTED[kind]}",
        )
    elif key in settings.words and settings.words[key] not in _WORDS[key]:
        words = _WORDS[key]
        meant = did_you_mean(settings.words[key], words)
        fix = (
            f"write one of {', '.join(f'`{word}`' for word in words)}"
            if meant is None
            else f"did you mean `{meant}`?"
        )
        findings.error(
            "P081",
            settings.place(key),
            f"`{key}` has no value `{settings.words[key][:40]}`",
            rule="§17",
            fix=fix,
        )
        del settings.words[key]


def _store(key: str, kind: Kind, value: Toml, settings: Settings) -> bool:
    """Keeps a value if it is of its kind; an empty list is as if not stated (D9)."""
    match kind:
        case "flag":
            if isinstance(value, bool):
                settings.flags[key] = value
                return True
        case "word":
            if isinstance(value, str):
                settings.words[key] = value.lower()
                return True
        case "text":
            if _is_text(value):
                settings.texts[key] = (cast("str", value),)
                return True
        case "texts":
            if isinstance(value, list) and all(_is_text(item) for item in cast("list[Toml]", value)):
                if value:
                    settings.texts[key] = tuple(dict.fromkeys(cast("list[str]", value)))
                return True
        case "ports":
            if isinstance(value, list) and all(_is_port(item) for item in cast("list[Toml]", value)):
                if value:
                    settings.ports[key] = tuple(sorted(set(cast("list[int]", value))))
                return True
        case "count" | "amount":
            number = _number(value, whole=kind == "count")
            if number is not None:
                settings.numbers[key] = number
                return True
        case "rates":
            if isinstance(value, dict):
                rates = {
                    name: _number(rate, whole=True) for name, rate in cast("dict[str, Toml]", value).items()
                }
                settings.rates = {name: int(rate) for name, rate in rates.items() if rate is not None}
                return None not in rates.values()
    return False


def _is_text(value: Toml) -> bool:
    return isinstance(value, str) and value.strip() != ""


def _is_port(value: Toml) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _LARGEST_PORT


def _number(value: Toml, *, whole: bool) -> Decimal | None:
    """Gives a number greater than zero; booleans are no numbers."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    if whole and not isinstance(value, int):
        return None
    number = Decimal(value)
    return number if math.isfinite(number) and 0 < number <= _LARGEST else None


def _key_places(source: Source) -> Iterator[tuple[str, Span]]:
    """Gives where each key is written; a light reading that trusts the text to be valid TOML."""
    table = ""
    offset = depth = 0
    quote: str | None = None
    for line in source.text.splitlines(keepends=True):
        if depth == 0 and quote is None:
            header, key = _HEADER.match(line), _KEY.match(line)
            found = header or key
            if found is not None:
                path = ".".join(_bare(part) for part in _PART.findall(found[1]))
                if header is not None:
                    table = f"{path}."
                else:
                    path = f"{table}{path}"
                yield path, source.span(offset + found.start(1), offset + found.end(1))
            if header is not None:
                offset += len(line)
                continue
        for piece in _SKIPPED.findall(line):
            if quote is not None:
                quote = None if piece == quote else quote
            elif piece in ('"""', "'''"):
                quote = piece
            elif piece in "[{":
                depth += 1
            elif piece in "]}":
                depth -= 1
        offset += len(line)


def _bare(part: str) -> str:
    return part[1:-1] if part[0] in "\"'" else part
