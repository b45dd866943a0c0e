"""Collecting what is wrong with one text, without stopping at the first finding (§15)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from .diagnostics import Diagnostic, Edit, Note, Severity, Source, Span


@dataclass(slots=True)
class Findings:
    """The findings about one policy; all of them stand in one text."""

    source: Source
    heading: Span
    """The policy's name, where a finding about the policy as a whole stands."""
    all: list[Diagnostic] = field(default_factory=list[Diagnostic])

    def error(
        self,
        code: str,
        span: Span,
        message: str,
        *,
        rule: str,
        fix: str | None = None,
        edit: Edit | None = None,
        notes: Sequence[Note] = (),
    ) -> None:
        """Adds what refuses the policy.

        Args:
            code: Code of §15.
            span: Where it is.
            message: One line.
            rule: Number of the rule of the language that decides.
            fix: What to write instead, in words.
            edit: The one change that is right, if there is exactly one.
            notes: What stands elsewhere and belongs to it.
        """
        self._add("error", code, span, message, rule, fix, edit, notes)

    def warning(
        self,
        code: str,
        span: Span,
        message: str,
        *,
        rule: str,
        fix: str | None = None,
        edit: Edit | None = None,
        notes: Sequence[Note] = (),
    ) -> None:
        """Adds what a person should know; the policy loads all the same."""
        self._add("warning", code, span, message, rule, fix, edit, notes)

    def did_you_mean(self, code: str, span: Span, message: str, meant: str | None, *, rule: str) -> None:
        """Adds an unknown word, with the known one that it most likely stands for."""
        fix = None if meant is None else f"did you mean `{meant}`?"
        self.error(code, span, message, rule=rule, fix=fix, edit=None if meant is None else Edit(span, meant))

    def text_of(self, span: Span) -> str:
        """Gives the characters of a span."""
        return self.source.text_of(span)

    def _add(
        self,
        severity: Severity,
        code: str,
        span: Span,
        message: str,
        rule: str,
        fix: str | None,
        edit: Edit | None,
        notes: Sequence[Note],
    ) -> None:
        edits = () if edit is None else (edit,)
        self.all.append(
            Diagnostic(
                code,
                message,
                span,
                self.source,
                severity,
                rule=rule,
                fix=fix,
                notes=tuple(notes),
                edits=edits,
            )
        )


def before(span: Span, text: str) -> Edit:
    """Gives the edit that inserts a text before a span."""
    return Edit(Span(span.start, span.start, span.line, span.column), text)


def after(source: Source, span: Span, text: str) -> Edit:
    """Gives the edit that inserts a text after a span."""
    return Edit(source.span(span.end, span.end), text)
