"""`replicante policy trust`: consent to a repository's own policy, and taking it back."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from replicante.cli import exit_codes
from replicante.cli.output import print_json, print_table
from replicante.cli.policy_loading import AsJson, Settings, bindings, load, warn

if TYPE_CHECKING:
    from replicante.policy.trust_store import TrustStore

_HELP = """\
Show what makes a repository's policy wider than the trusted one, ask, and record the answer.

The record is kept for the repository's top directory, in the state directory, where no sandbox reaches.

\b
Examples:
  replicante policy trust .policy
  replicante policy trust --list
  replicante policy trust --revoke .policy
"""


def add_to(group: typer.Typer) -> None:
    """Registers the command."""
    group.command("trust", help=_HELP)(trust)


def trust(
    reference: Annotated[str | None, typer.Argument(metavar="FILE", help="The repository's policy.")] = None,
    list_all: Annotated[bool, typer.Option("--list", help="List what is trusted.")] = False,
    revoke: Annotated[bool, typer.Option("--revoke", help="Forget the consent for this repository.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Agree without being asked.")] = False,
    settings: Settings = None,
    as_json: AsJson = False,
) -> int:
    """Records, lists or revokes consent."""
    from replicante.policy.trust_store import TrustStore
    from replicante.sandbox.state import open_state

    directory = open_state()
    if list_all:
        return _list(TrustStore(Path(directory)), as_json=as_json)
    if reference is None:
        sys.stderr.write("replicante: name the policy's file, or use `--list`\n")
        return exit_codes.USAGE
    if revoke:
        return _revoke(TrustStore(Path(directory)), _top(reference), as_json=as_json)
    return _record(reference, settings, directory, agreed=yes, as_json=as_json)


def _top(reference: str) -> Path:
    """The directory for which consent is kept: the repository's top, else the file's own."""
    from replicante.sandbox.bindings import top_directory
    from replicante.sandbox.find_policy import split_reference

    directory = os.path.dirname(os.path.realpath(split_reference(reference)[0]))
    return Path(top_directory(directory) or directory)


def _list(store: TrustStore, *, as_json: bool) -> int:
    records = store.records()
    if as_json:
        trusted = [
            {"top": top, "policy": record.policy, "trust_digest": record.trust_digest}
            for top, record in records.items()
        ]
        print_json(True, trusted=trusted, diagnostics=[])
        return exit_codes.GOOD
    rows = [(record.policy, f"sha256:{record.trust_digest[:16]}", top) for top, record in records.items()]
    print_table(rows, ("policy", "digest", "top directory"))
    return exit_codes.GOOD


def _revoke(store: TrustStore, top: Path, *, as_json: bool) -> int:
    known = store.revoke(top)
    if as_json:
        print_json(known, top=str(top), diagnostics=[])
    else:
        sys.stdout.write(f"{'revoked' if known else 'nothing was recorded'}: {top}\n")
    return exit_codes.GOOD if known else exit_codes.NO


def _record(
    reference: str, settings: list[str] | None, directory: str, *, agreed: bool, as_json: bool
) -> int:
    from replicante.sandbox.consent import ask_person
    from replicante.sandbox.repository_trust import agree, judge

    policy = load(reference, settings, as_json=as_json)
    warn(policy, as_json=as_json)
    top = _top(reference)
    reasons = judge(policy, top, bindings(settings), directory).reasons
    wider = bool(reasons)
    if wider and not agreed:
        agreed = ask_person(policy.name, reference, reasons)
    if wider and agreed:
        agree(policy, top, directory)
    trusted = agreed or not wider
    if as_json:
        print_json(
            trusted,
            top=str(top),
            policy=policy.name,
            reasons=reasons,
            recorded=wider and agreed,
            diagnostics=[],
        )
    elif not wider:
        sys.stdout.write(f"{policy.name} is no wider than what is trusted: no consent is needed\n")
    elif agreed:
        sys.stdout.write(f"trusted for {top}: {policy.name} sha256:{policy.trust_digest[:16]}\n")
    else:
        sys.stdout.write("".join(f"wider: {reason}\n" for reason in reasons) + "not trusted\n")
    if trusted:
        return exit_codes.GOOD
    return exit_codes.NO if sys.stdin.isatty() else exit_codes.CONSENT_NEEDED
