"""`replicante events`: what happened in a run."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from typing import Annotated

import typer

from replicante.cli import exit_codes
from replicante.cli.output import visible
from replicante.events.types import Event

_HELP = """\
Show the events of a run: a run's identifier, `last`, or a journal file. The chain of digests is verified.

\b
Examples:
  replicante events last
  replicante events 20261127-101500-0a1b2c3d --json
  replicante events last -f
"""

_POLL_S = 0.2


def add_to(root: typer.Typer) -> None:
    """Registers the command."""
    root.command("events", help=_HELP)(events)


def events(
    run: Annotated[str, typer.Argument(metavar="FILE|RUN", help="A journal or a run.")] = "last",
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on until the run ends.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The events as written, one a line.")] = False,
) -> int:
    """Prints the events of one journal."""
    from replicante.errors import StoreError
    from replicante.events.journal import Journal, find_journal
    from replicante.sandbox.state import state_path

    try:
        journal = Journal(find_journal(run, state_path()))
        ended = False
        while True:
            for event in journal.read():
                sys.stdout.write(f"{event.text}\n" if as_json else f"{_line(event)}\n")
                ended = ended or event.kind == "run.exit"
            sys.stdout.flush()
            if ended or not follow:
                break
            time.sleep(_POLL_S)
    except StoreError as error:
        sys.stderr.write(f"replicante: {error}\n")
        return exit_codes.USAGE
    if journal.torn_bytes:
        sys.stderr.write(f"replicante: {journal.torn_bytes} bytes of an unfinished frame at the end\n")
    return exit_codes.GOOD


def _line(event: Event) -> str:
    """One event for people; text that the agent may have written is escaped."""
    clock = datetime.fromtimestamp(event.time_ns / 1e9, UTC).strftime("%H:%M:%S.%f")[:-3]
    if not event.verdict:
        return f"{clock}  {event.kind}  {visible(_details(event))}"
    more = f"  ({event.count} times)" if event.count > 1 else ""
    asked = f"{event.action} {event.resource}"
    who = f"by {visible(event.process)}  rule {event.rule}{more}"
    return f"{clock}  {event.kind}  {event.verdict} {visible(asked)}  {who}"


def _details(event: Event) -> str:
    """What an event says beyond its envelope."""
    import json

    envelope = {"k", "v", "s", "t", "m", "c", "g"}
    fields: dict[str, object] = json.loads(event.text)
    return json.dumps({name: value for name, value in fields.items() if name not in envelope})
