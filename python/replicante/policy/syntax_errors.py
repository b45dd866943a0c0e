"""What to say where the text stops to be a policy: P001, P002, P004, P010, P011 (§15)."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence

from .diagnostics import Span
from .findings_of_text import TextFindings
from .grammar import keyword_of, keywords
from .literals import DURATION_UNITS, SIZE_UNITS
from .scan import OpenBlock, Piece

_CLOSED_SETS: dict[str, str] = {
    "FS_ACTION": "read write create delete execute",
    "MCP_ACTION": "call resource prompt sampling elicitation roots",
    "PROTOCOL": "tcp udp http",
    "METHOD": "GET HEAD POST PUT PATCH DELETE OPTIONS",
    "ADDRCLASS": "private loopback",
    "SIZE_KEY": "memory swap disk tmp output",
    "COUNT_KEY": "processes threads open-files",
    "TIME_KEY": "wall-time cpu-time idle-time",
    "IO_KEY": "io-read io-write",
    "CPU_KEY": "cpu",
    "MATCH_KIND": "path host text",
    "JSON_TYPE": "string number boolean array object null",
    "JSON_WORD": "true false null",
    "SEVERITY": "info low medium high critical",
    "REACTION": "notify snapshot throttle cut freeze quarantine kill",
    "HOME_KIND": "real private fresh",
    "LAYER": "overlay direct",
    "OUTCOME": "allow deny hold",
    "EVENT": " ".join(
        f"{what}.{where}"
        for what in ("allowed", "denied", "held", "limited")
        for where in ("filesystem", "network", "mcp", "syscall", "resource", "any")
    ),
    "BYTES": "bytes.sent bytes.received",
    "USED": "used.memory used.cpu used.processes used.threads used.disk used.tmp",
    "QUANTIFIER": "some every",
    "SECRET_SOURCE": "keyring file",
    "ENV_SOURCE": "env",
}
"""The words of each terminal that stands for a closed set."""

_KEPT_KEYWORDS = [
    "ALLOW",
    "DENY",
    "HOLD",
    "NEVER",
    "OVERRIDE",
    "ANY",
    "KEEP",
    "DROP",
    "KILL",
    "MADE",
    "EXACTLY",
    "HIDDEN",
    "EXISTING",
    "PUBLISH",
    "FILESYSTEM",
    "NETWORK",
    "RESOURCES",
    "MCP",
    "SYSCALLS",
    "CAPABILITIES",
    "ENVIRONMENT",
]

_DESCRIBED: dict[str, str] = {
    "STRING": "a string in double quotes",
    "NAME": "a name",
    "RULEREF": "the label of a rule",
    "ENVNAME": "a name",
    "ENVGLOB": "a prefix with `*`",
    "ARGNAME": "the name of an argument",
    "ERRNO": "an error name like `EPERM`",
    "SYSCALL": "a system call",
    "SYSGROUP": "a group like `@mount`",
    "HOSTSET": "a host set like `@source-forges`",
    "INT": "a whole number",
    "SIGNED": "a number",
    "DECIMAL": "a number",
    "SIZE": "a size like `64MiB`",
    "DURATION": "a duration like `45m`",
    "RATE": "a rate like `60/min`",
    "BYTERATE": "a byte rate like `5MiB/min`",
    "PERCENT": "a percentage like `90%`",
    "CMP": "a comparison",
    "LBRACE": "`{`",
    "RBRACE": "`}`",
    "LSQB": "`[`",
    "RSQB": "`]`",
    "LPAR": "`(`",
    "RPAR": "`)`",
    "COMMA": "`,`",
    "COLON": "`:`",
    "DOT": "`.`",
    "SEMICOLON": "",
    "$END": "the end of the text",
}
"""Other terminals as they are named to a person; an empty text is not worth naming."""

_QUANTITIES = ("SIZE", "DURATION", "RATE", "BYTERATE", "PERCENT", "DECIMAL", "INT")
_NAMES = frozenset({"NAME", "ENVNAME", "ARGNAME", "SYSCALL", "RULEREF"})
_SHOWN = 8
"""As many expected words are listed."""

_SIZE_LETTERS = {"k": "KiB", "m": "MiB", "g": "GiB", "t": "TiB", "b": "B"}
_DURATION_WORDS = {
    "min": "m", "mins": "m", "minute": "m", "minutes": "m",
    "sec": "s", "secs": "s", "second": "s", "seconds": "s",
    "hour": "h", "hours": "h", "hr": "h", "hrs": "h", "day": "d", "days": "d", "msec": "ms", "millis": "ms",
}  # fmt: skip
_RATE_WORDS = {
    "second": "s", "sec": "s", "m": "min", "minute": "min", "mins": "min", "hour": "h", "hr": "h", "d": "day",
    "days": "day",
}  # fmt: skip
_PARTS_OF_DURATION = re.compile(r"(?:[0-9]+(?:ms|s|m|h|d))+")
_PART_OF_DURATION = re.compile(r"([0-9]+)(ms|s|m|h|d)")


_ALL_WORDS = frozenset(
    {
        *(word for words in _CLOSED_SETS.values() for word in words.split()),
        *(word.lower() for word in _KEPT_KEYWORDS),
        *keywords(),
    }
)


def words_of(terminals: Iterable[str]) -> list[str]:
    """Gives the words of the language that some terminals stand for, sorted."""
    words: set[str] = set()
    for terminal in terminals:
        if terminal in _CLOSED_SETS:
            words.update(_CLOSED_SETS[terminal].split())
        elif terminal in _KEPT_KEYWORDS:
            words.add(terminal.lower())
        elif (word := keyword_of(terminal)) is not None:
            words.add(word)
    return sorted(words)


def tell_end(blocks: Sequence[OpenBlock], expected: Iterable[str], findings: TextFindings) -> None:
    """Tells that the text ends too early (P002)."""
    source = findings.source
    end = len(source.text.rstrip())
    opening = blocks[-1].opening
    first = None if opening is None else source.span(opening, opening + 1)
    what = "a block" if opening is not None else "a statement"
    fix = "add `}`" if "RBRACE" in expected else f"add {_expectation(expected)}"
    findings.error(
        "P002",
        source.span(max(0, end - 1), end),
        f"the text ends inside {what}",
        rule="T2",
        fix=fix,
        opened=first,
    )


def tell_unexpected(
    piece: Piece, before: Piece | None, expected: frozenset[str], findings: TextFindings
) -> None:
    """Tells that a piece of text does not belong where it is.

    Args:
        piece: What stands there.
        before: What stands before it.
        expected: The terminals of the grammar that could stand there.
        findings: Takes the finding.
    """
    span = findings.source.span(piece.start, piece.end)
    if piece.kind == "open-string":
        findings.error(
            "P004",
            span,
            "the string is not closed on its line",
            rule="T4",
            fix='close it with `"`; strings are on one line',
        )
    elif piece.kind == "number" and any(terminal in expected for terminal in _QUANTITIES):
        _tell_quantity(piece.text, span, expected, findings)
    elif piece.kind == "word" and _tell_unknown_word(piece.text, span, expected, findings):
        return
    elif before is not None and before.text == "," and piece.text in ("}", "]", ";"):
        comma = findings.source.span(before.start, before.end)
        findings.error(
            "P001", comma, "a list has no comma at its end", rule="T2", fix="leave out the comma", replace=""
        )
    else:
        findings.error(
            "P001", span, f"unexpected `{piece.text[:40]}`", label=f"expected {_expectation(expected)}"
        )


def _tell_unknown_word(word: str, span: Span, expected: frozenset[str], findings: TextFindings) -> bool:
    """Tells of an unknown word, with what was probably meant; False if the language knows the word."""
    if word in _ALL_WORDS:
        return False
    words = words_of(expected)
    close = difflib.get_close_matches(word, words, n=1, cutoff=0.6) or difflib.get_close_matches(
        word.lower(), words, n=1, cutoff=0.6
    )
    if close:
        findings.error(
            "P010",
            span,
            f"unknown word `{word[:40]}`",
            rule="T3",
            fix=f"did you mean `{close[0]}`?",
            replace=close[0],
        )
        return True
    if expected & _NAMES and not words:
        findings.error(
            "P001",
            span,
            f"`{word[:40]}` is not {_expectation(expected & _NAMES)}",
            rule="T3",
            fix="names are lower-case letters, digits and `-`, starting with a letter"
            if "NAME" in expected
            else None,
        )
        return True
    findings.error(
        "P010", span, f"unknown word `{word[:40]}`", rule="T3", label=f"expected {_expectation(expected)}"
    )
    return True


def _tell_quantity(text: str, span: Span, expected: frozenset[str], findings: TextFindings) -> None:
    wanted = next(terminal for terminal in _QUANTITIES if terminal in expected)
    if text.startswith("-"):
        findings.error("P012", span, f"`{text}` is negative", rule="T5", fix=f"write {_DESCRIBED[wanted]}")
        return
    right = _right_quantity(text, wanted)
    name = _DESCRIBED[wanted].split(" like ")[0]
    findings.error(
        "P011",
        span,
        f"`{text[:40]}` is not {name}",
        rule="T5",
        fix=f"write {_DESCRIBED[wanted]}" if right is None else f"write `{right}`",
        replace=right,
    )


def _right_quantity(text: str, wanted: str) -> str | None:
    """Gives what was surely meant by a quantity with a wrong unit, or None."""
    amount, _, time = text.partition("/")
    match wanted:
        case "SIZE" if not time:
            return _right_size(text)
        case "DURATION":
            return _right_duration(text)
        case "RATE" if amount.isdigit() and time in _RATE_WORDS:
            return f"{amount}/{_RATE_WORDS[time]}"
        case "BYTERATE" if time:
            size = (
                amount
                if amount.endswith(tuple(SIZE_UNITS)) and _right_size(amount) is None
                else _right_size(amount)
            )
            unit = _RATE_WORDS.get(time, time)
            return f"{size}/{unit}" if size and unit in ("s", "min", "h", "day") else None
        case _:
            return None


def _right_size(text: str) -> str | None:
    found = re.fullmatch(r"([0-9]+)(?:\.([0-9]+))?([A-Za-z]+)", text)
    if found is None or len(found[1]) > 18:
        return None
    unit = found[3] if found[3] in SIZE_UNITS else _SIZE_LETTERS.get(found[3][0].lower())
    if unit is None or not re.fullmatch(r"[kmgtKMGT]?i?[bB]?", found[3]):
        return None
    if found[2] is None:
        return None if unit == found[3] else f"{found[1]}{unit}"
    return _smaller_unit(f"{found[1]}.{found[2]}", unit)


def _smaller_unit(amount: str, unit: str) -> str | None:
    """Gives a size with a fraction as a whole number of the next smaller unit, where it is one."""
    whole, _, fraction = amount.partition(".")
    units = list(SIZE_UNITS)
    scaled = int(whole + fraction) * 1024
    if unit == "B" or len(fraction) > 6 or scaled % 10 ** len(fraction):
        return None
    return f"{scaled // 10 ** len(fraction)}{units[units.index(unit) - 1]}"


def _right_duration(text: str) -> str | None:
    if len(text) > 40:
        return None
    if _PARTS_OF_DURATION.fullmatch(text):
        parts = _PART_OF_DURATION.findall(text)
        smallest = min((unit for _, unit in parts), key=DURATION_UNITS.__getitem__)
        total = sum(int(amount) * DURATION_UNITS[unit] for amount, unit in parts)
        return f"{total // DURATION_UNITS[smallest]}{smallest}"
    found = re.fullmatch(r"([0-9]+)([A-Za-z]+)", text)
    unit = None if found is None else _DURATION_WORDS.get(found[2].lower())
    return None if found is None or unit is None else f"{found[1]}{unit}"


def _expectation(expected: Iterable[str]) -> str:
    """Gives what could stand somewhere as words for a person."""
    terminals = set(expected)
    named = [text for text in (_DESCRIBED.get(terminal, "") for terminal in sorted(terminals)) if text]
    words = [f"`{word}`" for word in words_of(terminals)]
    found = list(dict.fromkeys([*named, *words]))
    if not found:
        return "something else"
    if len(found) > _SHOWN:
        return f"{', '.join(found[:_SHOWN])} …"
    return found[0] if len(found) == 1 else f"{', '.join(found[:-1])} or {found[-1]}"
