"""Concrete requests that stand for a whole pattern.

A wildcard is filled with a symbol that no policy writes. Another pattern that matches such an instance can
only have matched the symbol by a wildcard of its own, so it matches every other filling as well. `**` is
filled with each number of segments up to more than the longest pattern has; beyond that only a `**` or the
closing downward (S8) can match, and both do so for every greater number.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

SYMBOL = "\U0010fffd"
"""A character that no name in a policy has: the last code point, which is reserved and unassigned."""

LABEL = "replicante-probe-q7"
"""A host label that no policy writes."""

_MAX_TREES = 2
"""Patterns with more `**` than this are not decided: the fillings would be too many."""


def split_pattern(pattern: str) -> list[str]:
    """Gives the segments of a path pattern, still escaped."""
    return pattern.split("/")[1:]


def is_literal(pattern: str) -> bool:
    """Tells whether a pattern has no wildcard."""
    return "*" not in _without_escapes(pattern)


def literal_start(pattern: str) -> tuple[str, ...]:
    """Gives the segments before the first one with a wildcard, unescaped."""
    found: list[str] = []
    for segment in split_pattern(pattern):
        if not is_literal(segment):
            break
        found.append(unescape(segment))
    return tuple(found)


def unescape(text: str) -> str:
    """Gives the text that a pattern without wildcards stands for; `*` becomes the symbol."""
    out: list[str] = []
    characters = iter(text)
    for character in characters:
        if character == "\\":
            out.append(next(characters, ""))
        elif character == "*":
            out.append(SYMBOL)
        else:
            out.append(character)
    return "".join(out)


def path_instances(pattern: str, longest: int) -> Iterator[str] | None:
    """Gives the requests that stand for a path pattern, or None if they would be too many.

    Args:
        pattern: A valid path pattern.
        longest: Segments of the longest pattern that they are compared with.
    """
    segments = split_pattern(pattern)
    trees = segments.count("**")
    if trees > _MAX_TREES:
        return None
    return _fill(segments, trees, longest + 1)


def _fill(segments: list[str], trees: int, most: int) -> Iterator[str]:
    for counts in product(range(most + 1), repeat=trees):
        filling = iter(counts)
        parts: list[str] = []
        for segment in segments:
            parts.extend([SYMBOL] * next(filling) if segment == "**" else [unescape(segment)])
        yield "/" + "/".join(parts)


def host_instances(pattern: str, longest: int) -> Iterator[str]:
    """Gives the names that stand for a host pattern.

    Args:
        pattern: A normalised name, perhaps with `*` or `**` as its first label.
        longest: Labels of the longest pattern that they are compared with.
    """
    first, _, rest = pattern.partition(".")
    if first == "**":
        for count in range(1, longest + 2):
            yield ".".join([LABEL] * count + [rest])
    elif first == "*":
        yield f"{LABEL}.{rest}"
    else:
        yield pattern


def subject_instance(pattern: str) -> str | None:
    """Gives the request that stands for an MCP subject, or None if `**` makes more than one necessary."""
    return None if "**" in _without_escapes(pattern) else unescape(pattern)


def _without_escapes(pattern: str) -> str:
    out: list[str] = []
    characters = iter(pattern)
    for character in characters:
        if character == "\\":
            next(characters, "")
        else:
            out.append(character)
    return "".join(out)
