"""One canonical layout of a policy file (policy-language.md §14): `policy fmt`, and text made by tools.

Two spaces, clauses in one order, 110 columns where strings permit. Comments stay with their statement:
on its line if they stood there, before it otherwise. What it gives reads to the same tree, and to itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from . import ast
from .diagnostics import Source, Span
from .written import (
    Written,
    written_capability,
    written_environment,
    written_expectation,
    written_item,
    written_resource,
    written_statement,
    written_syscall_rule,
)

COLUMNS = 110
"""A line is at most this long, unless one string alone is longer."""

Item = TypeVar(
    "Item",
    ast.RuleStatement,
    ast.ResourceLimit,
    ast.SyscallRule,
    ast.CapabilityRule,
    ast.EnvironmentStatement,
    ast.Expectation,
)


def format_file(file: ast.File, source: Source) -> str:
    """Gives the text of a file in canonical layout.

    Args:
        file: Its tree; it came from `source` without an error.
        source: What it was read from, for comments and blank lines.
    """
    return _Layout(source, file.comments).file(file)


class _Layout:
    """Writes one file; comments are taken in their order as statements pass by."""

    def __init__(self, source: Source, comments: Iterable[ast.Comment]) -> None:
        self._source = source
        self._comments = list(reversed(list(comments)))
        self._lines: list[str] = []

    def file(self, file: ast.File) -> str:
        header = self._header_end()
        self._comments_before(header.start, 0)
        self._add("language 1", 0, header)
        for statement in file.imports:
            self._lead(statement.span, 0)
            self._add(f"import {statement.path.written}", 0, statement.span)
        for policy in file.policies:
            self._lead(policy.span, 0, blank=True)
            self._policy(policy)
        self._comments_before(len(self._source.text), 0)
        return "\n".join(self._lines) + "\n"

    def _header_end(self) -> Span:
        """Gives the span of `language 1`: the first text that is no comment."""
        text = self._source.text
        start = 0
        comments = iter(reversed(self._comments))
        while True:
            comment = next(comments, None)
            between = text[start : comment.span.start] if comment is not None else text[start:]
            if between.strip() or comment is None:
                start += len(between) - len(between.lstrip())
                return self._source.span(start, text.index("1", start) + 1)
            start = comment.span.end

    def _policy(self, policy: ast.Policy) -> None:
        extends = f" extends {', '.join(name.text for name in policy.extends)}" if policy.extends else ""
        self._lines.append(f"policy {policy.name.text}{extends} {{")
        first = True
        for item in policy.items:
            self._lead(item.span, 1, first=first)
            first = False
            match item:
                case ast.Test():
                    self._block(
                        f"test {item.name.written}", item.expectations, written_expectation, item.span
                    )
                case ast.RuleBlock():
                    self._block(item.kind, item.items, written_statement, item.span)
                case ast.ResourcesBlock():
                    self._block(item.kind, item.items, written_resource, item.span)
                case ast.SyscallsBlock():
                    self._block(item.kind, item.items, written_syscall_rule, item.span)
                case ast.CapabilitiesBlock():
                    self._block(item.kind, item.items, written_capability, item.span)
                case ast.EnvironmentBlock():
                    self._block(item.kind, item.items, written_environment, item.span)
                case _:
                    self._statement(written_item(item), item.span, 1)
        self._comments_before(policy.span.end, 1)
        self._close(policy.span, 0)

    def _block(
        self, name: str, items: tuple[Item, ...], write: Callable[[Item], Written], span: Span
    ) -> None:
        if not items and not self._has_comment_before(span.end):
            self._add(f"{name} {{}}", 1, span)
            return
        self._lines.append(f"  {name} {{")
        for index, item in enumerate(items):
            self._lead(item.span, 2, first=index == 0)
            self._statement(write(item), item.span, 2)
        self._comments_before(span.end, 2)
        self._close(span, 1)

    def _close(self, span: Span, depth: int) -> None:
        self._add("}", depth, span)

    def _statement(self, written: Written, span: Span, depth: int) -> None:
        lines = _filled(written, depth)
        self._lines += lines[:-1]
        self._add(lines[-1].lstrip(), (len(lines[-1]) - len(lines[-1].lstrip())) // 2, span)

    def _add(self, text: str, depth: int, span: Span) -> None:
        """Adds the last line of a statement, with the comment that stands behind it."""
        self._comments_inside(span, depth)
        line = f"{'  ' * depth}{text}"
        comment = self._comments[-1] if self._comments else None
        if comment is not None and not comment.is_own_line:
            between = self._source.text[span.end : comment.span.start]
            if not between.strip(" \t;") and "\n" not in between:
                self._comments.pop()
                line = f"{line}  {comment.text}"
        self._lines.append(line)

    def _lead(self, span: Span, depth: int, *, blank: bool = False, first: bool = False) -> None:
        """Adds what stands before a statement: one blank line where there was one, and comments."""
        comments = self._taken(span.end, including=span)
        start = comments[0].span.start if comments else span.start
        before = self._source.text[:start].rstrip(" \t")
        had_blank = before.endswith(("\n\n", "\n\r\n"))
        if (blank or had_blank) and not first and self._lines and self._lines[-1] != "":
            self._lines.append("")
        for index, comment in enumerate(comments):
            if index and self._blank_between(comments[index - 1], comment):
                self._lines.append("")
            self._lines.append(f"{'  ' * depth}{comment.text}")
        if (
            comments
            and comments[-1].span.end < span.start
            and self._is_blank(comments[-1].span.end, span.start)
        ):
            self._lines.append("")

    def _taken(self, end: int, *, including: Span) -> list[ast.Comment]:
        """Takes the comments before a statement; those inside a block stay for its statements."""
        found: list[ast.Comment] = []
        limit = including.start if self._source.text[end - 1] == "}" else end
        while self._comments and self._comments[-1].span.start < limit:
            found.append(self._comments.pop())
        return found

    def _comments_inside(self, span: Span, depth: int) -> None:
        """Adds comments that are left inside a statement, so that none is lost."""
        while self._comments and self._comments[-1].span.end <= span.end:
            self._lines.append(f"{'  ' * depth}{self._comments.pop().text}")

    def _comments_before(self, end: int, depth: int) -> None:
        previous: ast.Comment | None = None
        while self._comments and self._comments[-1].span.start < end:
            comment = self._comments.pop()
            blank = (
                self._blank_before(comment) if previous is None else self._blank_between(previous, comment)
            )
            if blank and self._lines and self._lines[-1] and not self._lines[-1].endswith("{"):
                self._lines.append("")
            self._lines.append(f"{'  ' * depth}{comment.text}")
            previous = comment

    def _has_comment_before(self, end: int) -> bool:
        return bool(self._comments) and self._comments[-1].span.start < end

    def _blank_before(self, comment: ast.Comment) -> bool:
        return self._source.text[: comment.span.start].rstrip(" \t").endswith(("\n\n", "\n\r\n"))

    def _blank_between(self, one: ast.Comment, other: ast.Comment) -> bool:
        return self._is_blank(one.span.end, other.span.start)

    def _is_blank(self, start: int, end: int) -> bool:
        between = self._source.text[start:end]
        return not between.strip() and between.count("\n") > 1


def _filled(written: Written, depth: int) -> list[str]:
    """Fills a statement into lines: the list four columns further in, what follows it two."""
    indent = "  " * depth
    whole = f"{indent}{written.one_line()}"
    if len(whole) <= COLUMNS:
        return [whole]
    lines = [f"{indent}{written.start}"]
    last = len(written.items) - 1
    for index, item in enumerate(written.items):
        text = item if index == last else f"{item},"
        if len(lines[-1]) + 1 + len(text) > COLUMNS and lines[-1].strip() != written.start:
            lines.append(f"{indent}    {text}")
        else:
            lines[-1] = f"{lines[-1]} {text}"
    started = False
    for piece in written.pieces:
        if not started or len(lines[-1]) + 1 + len(piece) > COLUMNS:
            lines.append(f"{indent}  {piece}")
            started = True
        else:
            lines[-1] = f"{lines[-1]} {piece}"
    return lines
