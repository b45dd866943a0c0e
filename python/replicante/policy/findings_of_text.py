"""Collecting what is wrong with one text while it is read."""

from __future__ import annotations

from dataclasses import dataclass, field

from .diagnostics import Diagnostic, Edit, Note, Source, Span


@dataclass(slots=True)
class TextFindings:
    """The findings about one source, in the order found."""

    source: Source
    diagnostics: list[Diagnostic] = field(default_factory=list[Diagnostic])

    def error(
        self,
        code: str,
        span: Span,
        message: str,
        *,
        rule: str | None = None,
        label: str = "",
        fix: str | None = None,
        replace: str | None = None,
        first: Span | None = None,
        opened: Span | None = None,
    ) -> None:
        """Adds an error.

        Args:
            code: Its code in `replicante.codes`.
            span: Where it is.
            message: What is wrong, one line.
            rule: The rule of the language that says so.
            label: Words behind the carets.
            fix: What to write instead, in words.
            replace: The text that the span should be, if exactly one is right.
            first: Where the same was stated before, for a duplicate.
            opened: Where the block was opened that is not closed.
        """
        places = (("first stated here", first), ("opened here", opened))
        notes = tuple(Note(words, place, self.source) for words, place in places if place is not None)
        edits = () if replace is None else (Edit(span, replace),)
        self.diagnostics.append(
            Diagnostic(
                code, message, span, self.source, rule=rule, label=label, fix=fix, notes=notes, edits=edits
            )
        )
