"""`replicante policy fmt`: one canonical layout for policy files."""

from __future__ import annotations

import os
import sys
from difflib import unified_diff
from pathlib import Path
from typing import Annotated

import typer

from replicante.cli import exit_codes

_HELP = """\
Lay policy files out canonically; comments stay, the digest does not change. Prints the files that changed.

\b
Examples:
  replicante policy fmt .policy
  replicante policy fmt --check policies/*.policy
  replicante policy fmt --diff .policy
"""


def add_to(group: typer.Typer) -> None:
    """Registers the command."""
    group.command("fmt", help=_HELP)(fmt)


def fmt(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Policy files.")],
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; end with 1 if one would change.")
    ] = False,
    diff: Annotated[bool, typer.Option("--diff", help="Write nothing; print what would change.")] = False,
) -> int:
    """Formats files."""
    codes = [_format(path, write=not (check or diff), show=diff, check=check) for path in files]
    return max(codes)


def _format(path: Path, *, write: bool, show: bool, check: bool) -> int:
    from replicante.cli.diagnostics_view import print_findings
    from replicante.policy.fmt import format_file
    from replicante.policy.parse import decode, parse

    try:
        content = path.read_bytes()
    except OSError as error:
        sys.stderr.write(f"replicante: {path} can't be read: {error.strerror}\n")
        return exit_codes.USAGE
    source, findings = decode(content, str(path))
    file = None
    if source is not None:
        file, more = parse(source)
        findings = [*findings, *more]
    if source is None or file is None or any(finding.is_error for finding in findings):
        print_findings(findings)
        return exit_codes.POLICY_ERROR
    text = format_file(file, source)
    if text.encode() == content:
        return exit_codes.GOOD
    if show:
        before, after = content.decode().splitlines(keepends=True), text.splitlines(keepends=True)
        sys.stdout.writelines(unified_diff(before, after, str(path), str(path)))
    else:
        sys.stdout.write(f"{path}\n")
    if write:
        _replace(path, text)
    return exit_codes.NO if check else exit_codes.GOOD


def _replace(path: Path, text: str) -> None:
    """Writes a file whole or not at all, with the mode that it had."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_text(text)
    fresh.chmod(path.stat().st_mode & 0o777)
    fresh.replace(path)
