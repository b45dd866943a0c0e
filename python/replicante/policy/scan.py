"""A neutral reading of policy text into pieces, and the place in it where reading goes on after an error.

The grammar decides what a piece means; here a piece is only a string, a number, a word or a sign. That is
enough to find statements again in a text that does not parse.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["string", "open-string", "comment", "number", "word", "sign"]

_PIECE = re.compile(
    r"""(?P<string>"(?:[^"\\\n\r]|\\[^\n\r])*")
    | (?P<open>"[^\n\r]*)
    | (?P<comment>\#[^\n\r]*)
    | (?P<number>-?[0-9]+(?:\.[0-9]+)?[A-Za-z0-9_]*(?:/[A-Za-z0-9_]*)?%?)
    | (?P<word>@?[A-Za-z_][\w*/-]*(?:\.[A-Za-z_][\w-]*)*)
    | (?P<sign>[<>=!]=|\.\.|\*\*|\S)""",
    re.VERBOSE,
)
_KINDS: Mapping[str, Kind] = {"open": "open-string"}

_BLOCKS = frozenset(
    {"filesystem", "network", "resources", "mcp", "syscalls", "capabilities", "environment", "test"}
)
_RULES = frozenset({"allow", "deny", "hold", "override", "limit"})
_STATEMENTS: Mapping[str, frozenset[str]] = {
    "": frozenset({"policy", "import"}),
    "policy": _BLOCKS
    | {"description", "workspace", "home", "accept", "never", "alert", "tripwire", "override"},
    "filesystem": _RULES,
    "network": _RULES,
    "mcp": _RULES | {"pin"},
    "syscalls": _RULES - {"limit"},
    "resources": frozenset(
        {
            *("override", "memory", "swap", "disk", "tmp", "output", "processes", "threads", "open-files"),
            *("wall-time", "cpu-time", "idle-time", "io-read", "io-write", "cpu"),
        }
    ),
    "capabilities": frozenset({"keep", "drop", "override"}),
    "environment": frozenset({"keep", "drop", "set", "secret"}),
    "test": frozenset({"expect"}),
}
"""The words that start a statement, by the block that they stand in; "" is the file."""

_NOT_BEFORE_STATEMENTS = frozenset(
    {"as", "alert", "tripwire", "weaker", "extends", "policy", ",", "override", "of", "from"}
)
"""After these a word is a name or the rest of a statement, whatever it looks like."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One piece of text: its kind and offsets."""

    kind: Kind
    text: str
    start: int
    end: int


@dataclass(slots=True)
class OpenBlock:
    """A block that is open at some place; `opening` is its brace."""

    name: str
    opening: int | None
    statement: int | None = None
    """Index of the first piece of the statement that is being read in it."""


def scan(text: str) -> list[Piece]:
    """Gives all pieces of a text, comments included."""
    found: list[Piece] = []
    for match in _PIECE.finditer(text):
        group = match.lastgroup or "sign"
        found.append(Piece(_KINDS.get(group, group), match[0], match.start(), match.end()))  # pyright: ignore[reportArgumentType]
    return found


def open_blocks(pieces: Sequence[Piece], until: int) -> list[OpenBlock]:
    """Gives the blocks that are open before a piece, outermost first; the first stands for the file."""
    blocks = [OpenBlock("", None)]
    for index in range(until):
        piece = pieces[index]
        innermost = blocks[-1]
        if piece.text == "{" and piece.kind == "sign":
            start = innermost.statement
            word = pieces[start].text if start is not None else ""
            blocks.append(OpenBlock(word if word in _STATEMENTS else "json", piece.start))
        elif piece.text == "}" and piece.kind == "sign":
            if len(blocks) > 1:
                closed = blocks.pop()
                if closed.name != "json":
                    blocks[-1].statement = None
        elif starts_statement(pieces, index, innermost.name):
            innermost.statement = index
    return blocks


def starts_statement(pieces: Sequence[Piece], index: int, block: str) -> bool:
    """Tells whether a piece starts a statement of a block."""
    if pieces[index].text not in _STATEMENTS.get(block, frozenset()):
        return False
    return index == 0 or pieces[index - 1].text not in _NOT_BEFORE_STATEMENTS


@dataclass(frozen=True, slots=True)
class Recovery:
    """What to leave out of a text after an error, as offsets, and whether a `}` is missing there."""

    start: int
    end: int
    close_before: bool = False


def recover(pieces: Sequence[Piece], at: int) -> Recovery:
    """Gives what to leave out so that reading goes on at the next statement or closing brace (§15).

    Args:
        pieces: The text without comments.
        at: Index of the piece that was not expected.
    """
    blocks = open_blocks(pieces, at)
    depth = 0
    while len(blocks) > 1 and blocks[-1].name == "json":
        blocks.pop()
        depth += 1
    innermost = blocks[-1]
    outer = blocks[-2].name if len(blocks) > 1 else None
    if outer is not None and _opens_block(pieces, at, outer):
        return Recovery(pieces[at].start, pieces[at].start, close_before=True)
    first = at if innermost.statement is None else innermost.statement
    begins = starts_statement(pieces, at, innermost.name) and at > first
    index = at
    while index < len(pieces):
        piece = pieces[index]
        if piece.kind == "sign" and piece.text == "{":
            depth += 1
        elif piece.kind == "sign" and piece.text == "}":
            if depth == 0 and outer is not None:
                break
            depth = max(0, depth - 1)
        elif depth == 0 and (
            ((index > at or begins) and starts_statement(pieces, index, innermost.name))
            or (index > at and outer is not None and _opens_block(pieces, index, outer))
        ):
            break
        index += 1
    end = pieces[index].start if index < len(pieces) else pieces[-1].end
    return Recovery(pieces[first].start, end)


def _opens_block(pieces: Sequence[Piece], index: int, outer: str) -> bool:
    """Tells whether a piece starts a block of the enclosing one, so that a `}` was forgotten before it."""
    if outer == "policy":
        is_test = pieces[index].text == "test" and index + 2 < len(pieces) and pieces[index + 2].text == "{"
        opens = index + 1 < len(pieces) and pieces[index + 1].text == "{" and pieces[index].text in _BLOCKS
        return (opens or is_test) and starts_statement(pieces, index, outer)
    return outer == "" and pieces[index].text == "policy" and starts_statement(pieces, index, outer)
