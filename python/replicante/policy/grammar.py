"""The parser tables of the language: made from `grammar.lark` once, then read from the user's cache.

Making them takes about half a second. The cache is a file in a directory that only its owner can write;
without such a directory the tables are made anew each time, since whoever writes them decides what a policy
means.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import stat
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import cast

import lark
from lark import Lark, Token, UnexpectedCharacters, UnexpectedInput, UnexpectedToken

END = 2**63
"""An offset beyond every text."""

_GRAMMAR_PATH = Path(__file__).with_name("grammar.lark")
_QUOTED_WORD = re.compile(r'"([a-z][a-z-]*)"')


PUNCTUATION = frozenset(
    {"LBRACE", "RBRACE", "LSQB", "RSQB", "LPAR", "RPAR", "COMMA", "SEMICOLON", "COLON", "DOT"}
)
"""Terminals that mean nothing beyond their place; like those that begin with `_` they are in no node."""


class Node:
    """What a rule of the grammar has read: its place, and its parts without keywords and punctuation.

    It takes the place of Lark's own tree: finding out the place of each node afterwards took that as long as
    all the rest of parsing.

    Attributes:
        data: the rule's name.
        children: the parts.
        start: offset of the first character.
        end: offset behind the last character.
        line: of the first character, from 1.
        column: of the first character, from 1.
    """

    __slots__ = ("children", "column", "data", "end", "line", "start")

    def __init__(self, data: str, children: list[Node | Token]) -> None:
        """Takes all parts, keywords and punctuation included."""
        self.data = data
        self.start = self.end = 0
        self.line = self.column = 1
        if data[0] == "_" or not children:
            # The parts of such a rule become those of the rule around it, which needs them all for its place.
            self.children = children
            return
        first, last = children[0], children[-1]
        if isinstance(first, Node):
            self.start, self.line, self.column = first.start, first.line, first.column
        else:
            self.start, self.line, self.column = first.start_pos or 0, first.line or 1, first.column or 1
        self.end = last.end if isinstance(last, Node) else last.end_pos or 0
        self.children = [
            child
            for child in children
            if isinstance(child, Node) or not (child.type[0] == "_" or child.type in PUNCTUATION)
        ]


@cache
def parser() -> Lark:
    """Gives the parser.

    Its start symbols are `start` (a file), `body` (one without `language`) and `request` (as after `expect`).
    """
    text = _grammar()
    directory = _cache_dir()
    if directory is None:
        return _build(text)
    path = directory / f"policy-grammar-{_key(text)}.tables"
    return _read(path) or _write(path, _build(text))


@cache
def keywords() -> tuple[str, ...]:
    """Gives the words that the grammar quotes, sorted."""
    return tuple(sorted(set(_QUOTED_WORD.findall(_grammar()))))


@cache
def _grammar() -> str:
    return _GRAMMAR_PATH.read_text(encoding="utf-8")


def read(text: str, start: str) -> Node:
    """Parses a text from one of the start symbols.

    Raises:
        UnexpectedInput: At the first place where the text stops to follow the grammar.
    """
    return cast("Node", parser().parse(text, start=start))  # pyright: ignore[reportUnknownMemberType]


def stopped_at(error: UnexpectedInput) -> tuple[int, frozenset[str]]:
    """Gives where the parser stopped (`END` if the text did), and the terminals that could stand there."""
    if isinstance(error, UnexpectedToken):
        token = cast("Token", error.token)  # pyright: ignore[reportUnknownMemberType]
        offset = END if token.type == "$END" else token.start_pos or 0
        return offset, frozenset(error.accepts or error.expected)
    if isinstance(error, UnexpectedCharacters):
        position = cast("int | None", error.pos_in_stream)  # pyright: ignore[reportUnknownMemberType]
        return position or 0, frozenset(error.allowed or ())
    return END, frozenset()


def keyword_of(terminal: str) -> str | None:
    """Gives the word that a keyword's terminal stands for (`_KW_MAX_FILE` is `max-file`), or None."""
    return terminal[4:].lower().replace("_", "-") if terminal.startswith("_KW_") else None


def _build(text: str) -> Lark:
    return Lark(
        _with_keywords(text),
        parser="lalr",
        lexer="contextual",
        start=["start", "body", "request"],
        keep_all_tokens=True,
        maybe_placeholders=False,
        tree_class=Node,
    )


def _with_keywords(text: str) -> str:
    """Turns each quoted word into a terminal that matches whole words, first of all and not kept in trees."""
    words = sorted(set(_QUOTED_WORD.findall(text)))
    terminals = "".join(f"{_terminal(word)}.3: /{word}(?![\\w-])/\n" for word in words)
    return _QUOTED_WORD.sub(lambda match: _terminal(match.group(1)), text) + "\n" + terminals


def _terminal(word: str) -> str:
    return f"_KW_{word.upper().replace('-', '_')}"


def _key(text: str) -> str:
    versions = f"{lark.__version__} {sys.version_info[:2]}"
    builder = Path(__file__).read_bytes()  # how the grammar is completed is part of what the tables say
    return hashlib.sha256(b"\0".join([versions.encode(), text.encode(), builder])).hexdigest()[:32]


def _cache_dir() -> Path | None:
    """Gives the cache directory, made if missing, or None if anybody but its owner could write in it."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    root = Path(base) if os.path.isabs(base) else Path.home() / ".cache"
    directory = root / "replicante"
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = directory.lstat()
    except OSError:
        return None
    is_private = stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o022
    return directory if is_private else None


def _read(path: Path) -> Lark | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with open(descriptor, "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o022:
            return None
        content = file.read()
    digest, tables = content[:32], content[32:]
    if hashlib.sha256(tables).digest() != digest:
        return None  # cut short by a full disk: make them anew
    return Lark.load(io.BytesIO(tables))  # pyright: ignore[reportUnknownMemberType]


def _write(path: Path, built: Lark) -> Lark:
    """Puts the tables into the cache, whole or not at all; that they can't be kept doesn't stop a parse."""
    buffer = io.BytesIO()
    built.save(buffer)  # pyright: ignore[reportUnknownMemberType]
    tables = buffer.getvalue()
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            file.write(hashlib.sha256(tables).digest() + tables)
        os.replace(file.name, path)
    except OSError:
        return built
    return built
