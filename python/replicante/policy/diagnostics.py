"""Text of a policy with its positions, and findings about it (policy-language.md T1 and §15)."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, NamedTuple, TypeAlias

Severity = Literal["error", "warning"]

JsonObject: TypeAlias = "dict[str, str | int | list[JsonObject] | None]"
"""What a finding is as JSON."""

MAX_DIAGNOSTICS = 50
"""As many findings of one file are reported (§15)."""

_SHOWN_COLUMNS = 160
"""A longer line is cut around the span, so that one finding stays a few lines."""


class Span(NamedTuple):
    """A piece of a text: offsets in characters from 0, line and column of its start from 1 (a tab is one)."""

    start: int
    end: int
    line: int
    column: int

    def to(self, other: Span) -> Span:
        """Gives the piece from the start of this one to the end of another."""
        return Span(self.start, other.end, self.line, self.column)


@dataclass(frozen=True)
class Source:
    """The text of one file, or of what stands for one; `filename` is what findings call it."""

    text: str
    filename: str = "<text>"

    @cached_property
    def _line_starts(self) -> list[int]:
        starts = [0]
        position = self.text.find("\n")
        while position >= 0:
            starts.append(position + 1)
            position = self.text.find("\n", position + 1)
        return starts

    def span(self, start: int, end: int) -> Span:
        """Gives the span between two offsets in characters."""
        line = bisect_right(self._line_starts, start)
        return Span(start, end, line, start - self._line_starts[line - 1] + 1)

    def position(self, offset: int) -> tuple[int, int]:
        """Gives line and column of an offset, both from 1."""
        span = self.span(offset, offset)
        return span.line, span.column

    def text_of(self, span: Span) -> str:
        """Gives the characters of a span."""
        return self.text[span.start : span.end]

    def line(self, number: int) -> str:
        """Gives one line without its line end; the first line is 1."""
        starts = self._line_starts
        end = starts[number] if number < len(starts) else len(self.text)
        return self.text[starts[number - 1] : end].rstrip("\r\n")


@dataclass(frozen=True, slots=True)
class Edit:
    """A replacement of a span by a text; an empty span inserts."""

    span: Span
    text: str


@dataclass(frozen=True, slots=True)
class Note:
    """Something that stands elsewhere and belongs to a finding."""

    message: str
    span: Span
    source: Source


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One finding about a text.

    Attributes:
        code: Stable code of §15; `replicante.codes` lists them, `docs/errors` has a page for each.
        message: One line, lower-case start, no full stop, text of the user in backticks.
        span: Where in `source` it is.
        source: The text that it is about.
        rule: Number of the rule of the language that decides (`N6`), if one does.
        label: A few words behind the carets.
        fix: What to write instead, in words.
        edits: Changes that, applied together, make the finding go away; empty if no single one is right.
    """

    code: str
    message: str
    span: Span
    source: Source = field(repr=False)
    severity: Severity = "error"
    rule: str | None = None
    label: str = ""
    fix: str | None = None
    notes: tuple[Note, ...] = ()
    edits: tuple[Edit, ...] = ()

    @property
    def is_error(self) -> bool:
        """Whether the finding refuses the policy."""
        return self.severity == "error"

    def render(self) -> str:
        """Gives the lines that a person sees, as §15 shows them, without a line end at the end."""
        number = str(self.span.line)
        margin = " " * len(number)
        shown, carets = _marked_line(self.source, self.span)
        lines = [
            f"{visible(self.source.filename)}:{self.span.line}:{self.span.column}: "
            f"{self.severity}[{self.code}]: {visible(self.message)}",
            f"{margin} |",
            f"{number} | {shown}".rstrip(),
            f"{margin} | {carets} {visible(self.label)}".rstrip(),
        ]
        for note in self.notes:
            place = f"{visible(note.source.filename)}:{note.span.line}:{note.span.column}"
            lines.append(f"{margin} = note: {visible(note.message)} ({place})")
        if self.fix is not None:
            lines.append(f"{margin} = fix: {visible(self.fix)}")
        if self.rule is not None:
            lines.append(f"{margin} = rule: {self.rule}")
        return "\n".join(lines)

    def to_json(self) -> JsonObject:
        """Gives the finding as an object for programs; lines and columns count from 1, ends are exclusive."""
        return {
            "code": self.code,
            "severity": self.severity,
            "message": self.message,
            **_place(self.source, self.span),
            "rule": self.rule,
            "fix": self.fix,
            "notes": [{"message": note.message, **_place(note.source, note.span)} for note in self.notes],
            "edits": [{**_place(self.source, edit.span), "text": edit.text} for edit in self.edits],
        }


def visible(text: str) -> str:
    """Gives a text that cannot act on a terminal: each control or direction character becomes U+FFFD."""
    return text if text.isprintable() else "".join(map(_visible, text))


def apply_edits(source: Source, edits: Iterable[Edit]) -> str:
    """Gives the text with all edits made; of overlapping edits the first counts."""
    text = source.text
    done_from = len(text) + 1
    for edit in sorted(edits, key=lambda edit: (edit.span.start, edit.span.end), reverse=True):
        if edit.span.end <= done_from:
            text = text[: edit.span.start] + edit.text + text[edit.span.end :]
            done_from = edit.span.start
    return text


def in_order(diagnostics: Sequence[Diagnostic]) -> list[Diagnostic]:
    """Gives findings by place, none twice, at most `MAX_DIAGNOSTICS`: errors are kept before warnings."""
    unique = {(d.source.filename, d.span, d.code, d.message): d for d in diagnostics}
    kept = sorted(unique.values(), key=lambda d: not d.is_error)[:MAX_DIAGNOSTICS]
    return sorted(kept, key=lambda d: (d.source.filename, d.span.start, d.span.end))


def is_forbidden_character(character: str) -> bool:
    """Tells whether a character may not stand in a policy: control and bidirectional overrides (T1)."""
    code = ord(character)
    if code < 0x20:
        return character not in "\t\n\r"
    return code == 0x7F or 0x80 <= code < 0xA0 or 0x202A <= code <= 0x202E or 0x2066 <= code <= 0x2069


def _visible(character: str) -> str:
    return character if character.isprintable() or character in "\t" else "\ufffd"


def _place(source: Source, span: Span) -> JsonObject:
    end_line, end_column = source.position(span.end)
    return {
        "file": source.filename,
        "line": span.line,
        "column": span.column,
        "end_line": end_line,
        "end_column": end_column,
    }


def _marked_line(source: Source, span: Span) -> tuple[str, str]:
    """Gives the line of a span, cut if it is very long, and the carets below it."""
    line = source.line(span.line)
    start = min(span.column - 1, len(line))
    length = max(1, min(span.end - span.start, len(line) - start))
    first = max(0, start - _SHOWN_COLUMNS // 2) if len(line) > _SHOWN_COLUMNS else 0
    window = line[first : first + _SHOWN_COLUMNS]
    length = max(1, min(length, first + len(window) - start))
    before = "".join("\t" if character == "\t" else " " for character in line[first:start])
    cut_left, cut_right = ("…" if first else ""), ("…" if first + len(window) < len(line) else "")
    return f"{cut_left}{visible(window)}{cut_right}", " " * len(cut_left) + before + "^" * length
