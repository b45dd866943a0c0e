"""How commands print: text for people, one JSON object for programs, and nothing that a terminal obeys."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence

from replicante import env

SCHEMA = 1
"""Version of every JSON object on standard output (policy-language §14)."""


def print_json(ok: bool, **fields: object) -> None:
    """Prints one JSON object with `schema`, `ok` and the command's own fields."""
    sys.stdout.write(json.dumps({"schema": SCHEMA, "ok": ok, **fields}, default=str) + "\n")


def visible(text: str) -> str:
    """Text that an agent may have written, with control characters shown as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def print_table(rows: Iterable[Sequence[str]], heading: Sequence[str]) -> None:
    """Prints rows below a heading, the columns aligned; the last column is not padded."""
    shown = [list(heading), *([visible(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in shown) for column in range(len(heading))]
    for row in shown:
        cells = [cell.ljust(width) for cell, width in zip(row[:-1], widths[:-1], strict=True)]
        sys.stdout.write("  ".join([*cells, row[-1]]).rstrip() + "\n")


def has_color(choice: str, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether output is to be coloured: `always`, `never`, or `auto` by terminal and `NO_COLOR`."""
    if choice != "auto":
        return choice == "always"
    return sys.stdout.isatty() and not environment.get(env.NO_COLOR) and environment.get(env.TERM) != "dumb"
