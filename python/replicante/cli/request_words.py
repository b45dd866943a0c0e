"""A request on the command line, written as the policy language has it after `expect`.

The shell takes the quotation marks away, so those that the language needs are put back: around the resource,
and around what follows `via`, `path`, `resolves` and `cname`.
"""

from __future__ import annotations

from collections.abc import Sequence

_BARE = frozenset({"syscall", "listen"})
"""Actions whose resource is a word or a number."""

_BEFORE_TEXT = frozenset({"via", "path", "resolves", "cname"})
_CLAUSES = _BEFORE_TEXT | {"port", "protocol", "method", "with", "made"}


def request_text(words: Sequence[str]) -> str:
    """Joins the words of a request; one word that holds a whole request is taken as it is.

    Args:
        words: as the shell gave them.
    """
    if len(words) == 1 and " " in words[0]:
        return words[0]
    out: list[str] = []
    rest = list(words)
    if rest:
        action = rest.pop(0)
        out.append(action)
        if action == "connect" and rest[:1] == ["unix"]:
            out.append(rest.pop(0))
        if rest and action not in _BARE:
            out.append(_quoted(rest.pop(0)))
    is_text = False
    for word in rest:
        if word in _CLAUSES:
            is_text = word in _BEFORE_TEXT
            out.append(word)
        else:
            out.append(_quoted_list(word) if is_text else word)
    return " ".join(out)


def _quoted_list(word: str) -> str:
    comma = "," if word.endswith(",") else ""
    return ", ".join(_quoted(part) for part in word.removesuffix(",").split(",")) + comma


def _quoted(word: str) -> str:
    """The word as a string of the language, unless the shell was told to leave its quotation marks."""
    if len(word) > 1 and word.startswith('"') and word.endswith('"'):
        return word
    return '"' + word.replace('"', '\\"') + '"'
