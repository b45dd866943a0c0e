"""An event, as the shim writes it (supervision 1.6)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

Scalar = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Event:
    """One fact of a run.

    Attributes:
        seq: its number in the run, from 0.
        kind: what it is, as `file.open` or `run.ledger`.
        time_ns: wall clock, in nanoseconds since 1970.
        verdict: `deny` for a refused request; empty where nothing was decided.
        rule: id of the deciding rule, or `S1`; empty where none decided.
        action: what was asked, for a request.
        resource: what it was asked of.
        process: name and thread id inside, for a request.
        count: how many equal requests the event stands for.
        text: the whole event as one line of JSON, as it was written.
    """

    seq: int
    kind: str
    time_ns: int
    verdict: str
    rule: str
    action: str
    resource: str
    process: str
    count: int
    text: str


def parse_event(line: bytes) -> Event:
    """Reads one line of a journal; unknown fields are kept in `text` alone.

    Raises:
        ValueError: the line is no event.
    """
    text = line.decode()
    fields: object = json.loads(text)
    if not isinstance(fields, dict):
        raise ValueError("an event is a JSON object")
    values = cast("Mapping[str, object]", fields)
    return Event(
        seq=_integer(values, "s"),
        kind=_text(values, "k"),
        time_ns=_integer(values, "t"),
        verdict=_text(values, "d"),
        rule=_text(values, "r"),
        action=_text(values, "action"),
        resource=_text(values, "resource"),
        process=_process(values.get("p")),
        count=_integer(values, "count", 1),
        text=text,
    )


def _text(values: Mapping[str, object], name: str) -> str:
    value = values.get(name, "")
    if not isinstance(value, str):
        raise ValueError(f"`{name}` of an event is text")
    return value


def _integer(values: Mapping[str, object], name: str, default: int | None = None) -> int:
    value = values.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"`{name}` of an event is a whole number")
    return value


def _process(value: object) -> str:
    if not isinstance(value, dict):
        return ""
    process = cast("Mapping[str, object]", value)
    return f"{process.get('comm', '?')} ({process.get('tid', '?')})"
