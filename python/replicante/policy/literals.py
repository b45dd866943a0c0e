"""Strings and quantities: from the characters of a token to a value (policy-language.md T4, T5)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from lark import Token

from . import ast
from .diagnostics import Span
from .findings_of_text import TextFindings

LARGEST = 2**63 - 1
"""Values are signed 64-bit integers (T5)."""

LARGEST_PORT = 65_535

_LONGEST_NUMBER = 308
"""Digits of a number of a condition, on each side of its point (M4)."""

SIZE_UNITS: Mapping[str, int] = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
"""Bytes of each unit of size."""

_SECOND = 1_000_000_000

DURATION_UNITS: Mapping[str, int] = {
    "ms": _SECOND // 1000,
    "s": _SECOND,
    "m": 60 * _SECOND,
    "h": 3600 * _SECOND,
    "d": 86_400 * _SECOND,
}
"""Nanoseconds of each unit of duration."""

RATE_UNITS: Mapping[str, int] = {
    "s": _SECOND,
    "min": 60 * _SECOND,
    "h": 3600 * _SECOND,
    "day": 86_400 * _SECOND,
}
"""Nanoseconds of each unit after the `/` of a rate."""

_WILDCARDS = frozenset("*?[]{}\\")
_ESCAPES: Mapping[str, str] = {"n": "\n", "t": "\t"} | {character: character for character in '\\"$*?[]{}'}
_PIECE = re.compile(
    r"(?P<text>[^\\$]+)|\$\{(?P<variable>[^}\"\\]*)\}|(?P<open>\$\{)|(?P<dollar>\$)"
    r"|\\u\{(?P<hex>[^}\"\\]*)\}|\\(?P<escape>.)"
)
_NUMBER = re.compile(r"([0-9]+)(?:\.([0-9]+))?([A-Za-z]*)(?:/([a-z]+))?")


def span_of(token: Token) -> Span:
    """Gives the span of a token."""
    start, end, line, column = token.start_pos, token.end_pos, token.line, token.column
    return Span(start or 0, end or 0, line or 1, column or 1)


def word(token: Token) -> ast.Word:
    """Gives a token as a word."""
    return ast.Word(str(token), span_of(token))


def string(token: Token, findings: TextFindings) -> ast.StringLiteral:
    """Gives a string with its escapes resolved and its variables found."""
    written, span = str(token), span_of(token)
    inside = written[1:-1]
    if "\\" not in inside and "$" not in inside:
        text = ast.LiteralText(inside, inside, Span(span.start + 1, span.end - 1, span.line, span.column + 1))
        return ast.StringLiteral((text,) if inside else (), written, span)
    parts: list[ast.LiteralText | ast.VariableReference] = []
    for piece in _PIECE.finditer(inside):
        offset = 1 + piece.start()
        place = Span(
            span.start + offset, span.start + 1 + piece.end(), span.line, span.column + offset
        )  # a string is on one line
        part = _part(piece, place, findings)
        last = parts[-1] if parts else None
        if isinstance(part, ast.LiteralText) and isinstance(last, ast.LiteralText):
            parts[-1] = ast.LiteralText(
                last.pattern + part.pattern, last.plain + part.plain, last.span.to(part.span)
            )
        else:
            parts.append(part)
    return ast.StringLiteral(tuple(parts), written, span)


def _part(
    piece: re.Match[str], place: Span, findings: TextFindings
) -> ast.LiteralText | ast.VariableReference:
    if (name := piece["variable"]) is not None:
        return ast.VariableReference(name, place)
    if (text := piece["text"] or piece["dollar"]) is not None:
        return ast.LiteralText(text, text, place)
    if piece["open"] is not None:
        findings.error(
            "P001", place, "`${` is not closed by `}`", rule="T4", fix="write `\\$` for a dollar sign"
        )
        return ast.LiteralText("$", "$", place)
    character = _escaped(piece, place, findings)
    return ast.LiteralText(f"\\{character}" if character in _WILDCARDS else character, character, place)


def _escaped(piece: re.Match[str], place: Span, findings: TextFindings) -> str:
    if (digits := piece["hex"]) is not None:
        code = int(digits, 16) if re.fullmatch(r"[0-9A-Fa-f]{1,6}", digits) else -1
        if 0 < code <= 0x10FFFF and not 0xD800 <= code < 0xE000:
            return chr(code)
        findings.error(
            "P005",
            place,
            f"`{piece[0]}` is no character",
            rule="T4",
            fix="write 1 to 6 hex digits of a character other than U+0000",
        )
        return "\ufffd"
    known = _ESCAPES.get(piece["escape"])
    if known is None:
        findings.error(
            "P005",
            place,
            f"there is no escape `{piece[0]}`",
            rule="T4",
            fix=f"write `\\{piece[0]}` for a backslash and `{piece['escape']}`",
            replace=f"\\{piece[0]}",
        )
        return piece["escape"]
    return known


def size(token: Token, findings: TextFindings, *, zero: bool = False) -> ast.Quantity:
    """Gives a size in bytes."""
    digits, _, unit, _ = _split(token)
    return _quantity(token, _whole(digits) * SIZE_UNITS[unit], findings, lowest=0 if zero else 1)


def duration(token: Token, findings: TextFindings) -> ast.Quantity:
    """Gives a duration in nanoseconds."""
    digits, _, unit, _ = _split(token)
    return _quantity(token, _whole(digits) * DURATION_UNITS[unit], findings)


def count(token: Token, findings: TextFindings, *, zero: bool = False) -> ast.Quantity:
    """Gives a count."""
    return _quantity(token, _whole(token), findings, lowest=0 if zero else 1)


def port(token: Token, findings: TextFindings, *, zero: bool = False) -> ast.Quantity:
    """Gives a port; 0 only where it asks for any port (N13)."""
    return _quantity(token, _whole(token), findings, lowest=0 if zero else 1, highest=LARGEST_PORT)


def percent(token: Token, findings: TextFindings) -> ast.Quantity:
    """Gives a percentage from 1 to 100."""
    return _quantity(token, _whole(token[:-1]), findings, highest=100)


def cores(token: Token, findings: TextFindings) -> ast.Quantity:
    """Gives processor cores as thousandths of one."""
    digits, fraction, _, _ = _split(token)
    if len(fraction) > 3:
        findings.error(
            "P012",
            span_of(token),
            f"`{token}` has more than three decimals",
            rule="T5",
            fix="write thousandths",
        )
        fraction = fraction[:3]
    return _quantity(token, _whole(digits) * 1000 + int(fraction.ljust(3, "0")), findings)


def rate(token: Token, findings: TextFindings) -> ast.Rate:
    """Gives a rate in requests or bytes for a unit of time."""
    digits, _, unit, time = _split(token)
    amount = _quantity(token, _whole(digits) * SIZE_UNITS.get(unit, 1), findings)
    return ast.Rate(amount.value, RATE_UNITS[time], str(token), amount.span)


def number(token: Token, findings: TextFindings) -> ast.NumberLiteral:
    """Gives a number of a condition or of JSON, a size as its bytes: exact, without needless zeros."""
    text = str(token)
    digits, fraction, unit, _ = _split_text(text.lstrip("-"))
    if len(digits) > _LONGEST_NUMBER or len(fraction) > _LONGEST_NUMBER:
        findings.error("P012", span_of(token), "the number has too many digits", rule="M4")
        return ast.NumberLiteral("0", text, span_of(token))
    whole = str(_whole(digits) * SIZE_UNITS[unit]) if unit else digits.lstrip("0") or "0"
    fraction = fraction.rstrip("0")
    value = f"{whole}.{fraction}" if fraction else whole
    sign = "-" if text.startswith("-") and value != "0" else ""
    return ast.NumberLiteral(sign + value, text, span_of(token))


def _whole(digits: str) -> int:
    """Gives the value of digits; what is beyond every limit stays beyond it, however long it is."""
    return int(digits) if len(digits) <= _LONGEST_NUMBER else LARGEST + 1


def _split(token: Token) -> tuple[str, str, str, str]:
    return _split_text(str(token))


def _split_text(text: str) -> tuple[str, str, str, str]:
    found = _NUMBER.fullmatch(text)
    if found is None:  # the grammar lets no other text through
        raise ValueError(f"{text!r} is no number of the language")
    digits, fraction, unit, time = found.groups(default="")
    return digits, fraction, unit, time


def _quantity(
    token: Token, value: int, findings: TextFindings, *, lowest: int = 1, highest: int = LARGEST
) -> ast.Quantity:
    span = span_of(token)
    if value < lowest:
        findings.error("P012", span, f"`{token}` is too small", rule="T5", fix=f"write at least {lowest}")
    elif value > highest:
        findings.error("P012", span, f"`{token}` is too large", rule="T5", fix=_largest(highest))
    return ast.Quantity(min(max(value, lowest), highest), str(token), span)


def _largest(highest: int) -> str:
    return "values are below 2^63" if highest == LARGEST else f"write at most {highest}"
