"""`replicante run`: from a command line to the shim, importing only what a plain start needs."""

from __future__ import annotations

import sys

from replicante.cli import exit_codes
from replicante.cli.run_options import UsageError, help_text, parse
from replicante.errors import PolicyError, ReplicanteError
from replicante.sandbox.consent import ConsentError
from replicante.sandbox.start import StartOptions, start

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str]) -> int:
    """Runs the command line of `run`; returns only when nothing was started.

    Args:
        arguments: what stands after `run`.

    Returns:
        One of run's own exit codes, or 0 after `--help`.
    """
    try:
        parsed = parse(arguments)
    except UsageError as error:
        return refuse(str(error), exit_codes.RUN_NOT_SET_UP)
    if "help" in parsed.switches:
        sys.stdout.write(help_text())
        return exit_codes.GOOD
    if not parsed.command:
        return refuse(
            "no command is given; write it after `--`, as in `replicante run -- ls`",
            exit_codes.RUN_NOT_SET_UP,
        )
    options = StartOptions(
        policy=parsed.values.get("policy"),
        workspace=parsed.values.get("workspace"),
        settings=parsed.settings,
        no_weaker="no-weaker" in parsed.switches,
        explain="explain" in parsed.switches,
        report="json" if "json" in parsed.switches else "text",
        visibility=parsed.values.get("visibility", "usual"),
    )
    return launch(parsed.command, options, "plan" if "plan" in parsed.switches else "run")


def launch(command: Sequence[str], options: StartOptions, task: str = "run") -> int:
    """Starts a command under a policy; returns an exit code of `run` only when it was not started."""
    try:
        start(command, options, task)
    except PolicyError as error:
        sys.stderr.write(rendered(error))
        return exit_codes.RUN_POLICY_REFUSED
    except ConsentError as error:
        return refuse(described(error), exit_codes.RUN_CONSENT_NEEDED)
    except ReplicanteError as error:
        return refuse(described(error), exit_codes.RUN_NOT_SET_UP)
    except OSError as error:
        return refuse(f"{error.filename or 'the sandbox'}: {error.strerror}", exit_codes.RUN_NOT_SET_UP)


def described(error: ReplicanteError) -> str:
    """An error in one line: code, what, and the one thing to do."""
    code = f"[{error.code}] " if error.code else ""
    return f"{code}{error}" + (f"; {error.help}" if error.help else "")


def rendered(error: PolicyError) -> str:
    """A policy error as `policy check` shows it."""
    from replicante.cli.diagnostics_view import render_all

    return render_all(error)


def refuse(text: str, code: int) -> int:
    """Says on standard error why nothing runs, and gives the exit code back."""
    sys.stderr.write(f"replicante: {text}\n")
    return code
