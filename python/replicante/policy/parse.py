"""From text to a syntax tree, with every finding on the way (policy-language.md §1, §15, Appendix A)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lark import UnexpectedInput

from . import ast
from .build import TreeBuilder
from .diagnostics import MAX_DIAGNOSTICS, Diagnostic, Source, in_order, is_forbidden_character
from .findings_of_text import TextFindings
from .grammar import Node, read, stopped_at
from .scan import OpenBlock, Piece, open_blocks, recover, scan
from .syntax_errors import tell_end, tell_unexpected

_HEADER = re.compile(r"[ \t\r\n]*language[ \t]+1[ \t\r\n;]")
"""How nearly every file begins; all others are looked at piece by piece."""

MAX_BYTES = 1024 * 1024
"""A policy text is at most this large in UTF-8 (T1)."""


def parse(source: Source) -> tuple[ast.File | None, list[Diagnostic]]:
    """Reads a policy file.

    Args:
        source: Its text; `decode` makes it from the bytes of a file.

    Returns:
        The tree of all that could be read, None if nothing could, and the findings by place. A tree that
        comes with an error is for tools that look at unfinished text; nothing may be decided by it.
    """
    findings = TextFindings(source)
    if not _check_characters(findings):
        return None, findings.diagnostics
    text, start = source.text, "start"
    if _HEADER.match(text) is None:
        text, start = _without_bad_header(text, _words(text), findings)
    tree = _read(text, start, findings)
    file = None if tree is None else TreeBuilder(findings).file(tree, tuple(_comments(source)))
    return file, in_order(findings.diagnostics)


def parse_request(text: str, filename: str = "<request>") -> tuple[ast.Request | None, list[Diagnostic]]:
    """Reads one request, written as after `expect` (X1): for `explain` and the command line.

    Returns:
        The request, None if there is an error, and the findings.
    """
    source = Source(text, filename)
    findings = TextFindings(source)
    if not _check_characters(findings):
        return None, findings.diagnostics
    try:
        tree = read(text, "request")
    except UnexpectedInput as error:
        _tell(error, _words(text), findings)
        return None, findings.diagnostics
    request = TreeBuilder(findings).request(tree)
    return (None if findings.diagnostics else request), in_order(findings.diagnostics)


def decode(content: bytes, filename: str) -> tuple[Source | None, list[Diagnostic]]:
    """Makes a source of the bytes of a file (T1): at most 1 MiB of UTF-8 without byte-order mark.

    Returns:
        The source, None if the bytes are no text, and the findings (P003, P007).
    """
    text = content[:MAX_BYTES].decode("utf-8", errors="replace")
    findings = TextFindings(Source(text, filename))
    start = findings.source.span(0, 0)
    if len(content) > MAX_BYTES:
        findings.error("P007", start, "a policy file is at most 1 MiB", rule="T1")
    elif content.startswith(b"\xef\xbb\xbf"):
        findings.error(
            "P003",
            findings.source.span(0, 1),
            "the file starts with a byte-order mark",
            rule="T1",
            fix="leave it out",
            replace="",
        )
    else:
        try:
            return Source(content.decode("utf-8"), filename), []
        except UnicodeDecodeError as error:
            offset = len(content[: error.start].decode("utf-8"))
            findings.error(
                "P003",
                findings.source.span(offset, offset + 1),
                "the file is not UTF-8",
                rule="T1",
                fix="save it as UTF-8",
            )
    return None, findings.diagnostics


def _check_characters(findings: TextFindings) -> bool:
    """Checks the characters of a text (T1); tells whether it can be read."""
    source = findings.source
    text = source.text
    if len(text) > MAX_BYTES or (
        not text.isascii() and len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES
    ):
        findings.error("P007", source.span(0, 0), "a policy text is at most 1 MiB", rule="T1")
        return False
    offset = 0
    for line in text.splitlines(keepends=True):
        if not line.rstrip("\r\n").isprintable() or line.endswith("\r"):
            _check_line(line, offset, findings)
            if len(findings.diagnostics) >= MAX_DIAGNOSTICS:
                break
        offset += len(line)
    return not findings.diagnostics


def _check_line(line: str, offset: int, findings: TextFindings) -> None:
    for index, character in enumerate(line):
        lone_return = character == "\r" and line[index + 1 : index + 2] != "\n"
        is_mark = character == "\ufeff" and offset + index == 0
        if lone_return or is_mark or is_forbidden_character(character) or 0xD800 <= ord(character) < 0xE000:
            span = findings.source.span(offset + index, offset + index + 1)
            what = "a byte-order mark" if is_mark else f"the character U+{ord(character):04X}"
            findings.error(
                "P003", span, f"{what} may not stand in a policy", rule="T1", fix="leave it out", replace=""
            )


def _without_bad_header(text: str, words: list[Piece], findings: TextFindings) -> tuple[str, str]:
    """Tells of a missing or broken `language 1` (P006); gives the text to read and its start symbol."""
    if not words:
        findings.error(
            "P006",
            findings.source.span(0, 0),
            "the text is empty",
            rule="T7",
            fix="start it with `language 1`",
        )
        return text, "start"
    first = words[0]
    if first.text == "language" and len(words) > 1 and words[1].text.isdigit() and words[1].text.isascii():
        return text, "start"
    is_number_wrong = first.text == "language"
    has_argument = len(words) > 1 and words[1].text not in ("policy", "import")
    last = words[1] if is_number_wrong and has_argument else first
    span = findings.source.span(first.start, last.end if is_number_wrong else first.start)
    findings.error(
        "P006",
        span,
        "the first statement is not `language 1`",
        rule="T7",
        fix="write `language 1`" if is_number_wrong else "put `language 1` before everything else",
        replace="language 1" if is_number_wrong else "language 1\n\n",
    )
    return (_blank(text, span.start, span.end) if is_number_wrong else text), "body"


def _words(text: str) -> list[Piece]:
    return [piece for piece in scan(text) if piece.kind != "comment"]


def _read(text: str, start: str, findings: TextFindings) -> Node | None:
    """Parses a text; after each error the statement around it is blanked out and the rest read again."""
    while True:
        try:
            return read(text, start)
        except UnexpectedInput as error:
            words = _words(text)
            if not words:
                return None
            at = _tell(error, words, findings)
            if at is None or len(findings.diagnostics) >= MAX_DIAGNOSTICS:
                return None
            following = _after(text, words, at)
            if following == text:
                return None
            text = following


def _after(text: str, words: list[Piece], at: int) -> str:
    """Gives the text without the statement around the piece that was not expected, at the same offsets."""
    recovery = recover(words, at)
    if not recovery.close_before:
        return _blank(text, recovery.start, recovery.end)
    room = recovery.start - 1
    return text[:room] + "}" + text[room + 1 :] if room > 0 and text[room].isspace() else text


def _tell(error: UnexpectedInput, words: list[Piece], findings: TextFindings) -> int | None:
    """Tells of a syntax error; gives the index of the piece that was not expected, None at the end."""
    offset, expected = stopped_at(error)
    at = next((index for index, piece in enumerate(words) if piece.end > offset), None)
    if at is None:
        blocks: list[OpenBlock] = open_blocks(words, len(words))
        if len(blocks) > 1 or not findings.diagnostics:
            tell_end(blocks, expected, findings)
        return None
    piece = words[at]
    if recover(words, at).close_before:
        opening = open_blocks(words, at)[-1].opening or 0
        findings.error(
            "P001",
            findings.source.span(piece.start, piece.end),
            f"a `}}` is missing before `{piece.text}`",
            rule="T2",
            fix="add `}` before it",
            replace=f"}} {piece.text}",
            opened=findings.source.span(opening, opening + 1),
        )
    else:
        tell_unexpected(piece, words[at - 1] if at else None, expected, findings)
    return at


def _blank(text: str, start: int, end: int) -> str:
    """Gives the text with spaces in place of a part; line ends stay, so that positions do."""
    kept = "".join(character if character in "\r\n" else " " for character in text[start:end])
    return text[:start] + kept + text[end:]


def _comments(source: Source) -> Iterator[ast.Comment]:
    for piece in scan(source.text) if "#" in source.text else ():
        if piece.kind == "comment":
            span = source.span(piece.start, piece.end)
            before = source.text[source.text.rfind("\n", 0, piece.start) + 1 : piece.start]
            yield ast.Comment(piece.text.rstrip(), not before.strip(), span)
