"""`replicante policy why-denied`: the recorded denials of a run, newest first, explained."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, cast

import typer

from replicante.cli import exit_codes
from replicante.cli.output import print_json, visible
from replicante.cli.policy_loading import AsJson

if TYPE_CHECKING:
    from collections.abc import Sequence

    from replicante._core import Engine
    from replicante.events.types import Event

_HELP = """\
Explain the recorded denials of a run, newest first: which rule, where it stands, what would allow it.

\b
Examples:
  replicante policy why-denied
  replicante policy why-denied 20261127-101500-0a1b2c3d --last 3
"""


def add_to(group: typer.Typer) -> None:
    """Registers the command."""
    group.command("why-denied", help=_HELP)(why_denied)


def why_denied(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run; default: the newest.")] = "last",
    last: Annotated[int, typer.Option("--last", min=1, help="How many denials.")] = 10,
    as_json: AsJson = False,
) -> int:
    """Explains denials."""
    from replicante.events.journal import Journal, find_journal
    from replicante.sandbox.state import state_path

    directory = state_path()
    events = Journal(find_journal(run, directory)).read()
    denials = [event for event in reversed(events) if event.verdict == "deny"][:last]
    engine = _engine(events, directory)
    rows = [_row(event, engine) for event in denials]
    if as_json:
        print_json(not rows, denials=rows, diagnostics=[])
    elif not rows:
        sys.stdout.write("nothing was denied\n")
    for row in () if as_json else rows:
        sys.stdout.write(_text(row))
    return exit_codes.GOOD if rows else exit_codes.NO


def _engine(events: Sequence[Event], directory: str) -> Engine | None:
    """The engine of the run's policy, while its compiled form is kept."""
    from replicante.sandbox.kept_policy import find_engine

    for event in events:
        if event.kind == "run.ledger":
            ledger = cast("dict[str, object]", json.loads(event.text))
            variables = cast("dict[str, str]", ledger.get("variables", {}))
            return find_engine(directory, str(ledger.get("identity")), variables)
    return None


def _row(event: Event, engine: Engine | None) -> dict[str, object]:
    row: dict[str, object] = {
        "action": event.action,
        "resource": event.resource,
        "process": event.process,
        "rule": event.rule,
        "count": event.count,
        "place": None,
        "because": None,
        "would_allow": None,
    }
    if engine is not None:
        rule = engine.decide(event.action, event.resource).rule
        if rule is not None and rule.id == event.rule:
            row["place"] = f"{rule.file}:{rule.line}:{rule.column}"
            row["because"] = rule.because
        row["would_allow"] = engine.fix(event.action, event.resource)
    return row


def _text(row: dict[str, object]) -> str:
    times = f" ({row['count']} times)" if row["count"] != 1 else ""
    place = f"  {row['place']}" if row["place"] else ""
    lines = [
        f"deny: {row['action']} {visible(str(row['resource']))}{times}",
        f"  rule          {row['rule']}{place}",
        f"  process       {visible(str(row['process']))}",
    ]
    if row["because"]:
        lines.append(f"  because       {visible(str(row['because']))}")
    lines.append(f"  would allow   {row['would_allow'] or 'no line of a policy'}")
    return "\n".join(lines) + "\n"
