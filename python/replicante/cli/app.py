"""The entry point: a table of commands, and the one place where no traceback reaches a user.

`run` is answered without an option parser; every other group is a Typer application, imported when it is
called.
"""

from __future__ import annotations

import os
import sys

from replicante import env
from replicante.cli import exit_codes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS: dict[str, tuple[str, str]] = {
    "run": ("replicante.cli.run", "Run a program in a sandbox, under a policy."),
    "sandbox": ("replicante.cli.sandbox", "Run an agent from an agent.toml; without one, the drill."),
    "policy": ("replicante.cli.policy", "Check, lint, explain, show, test, trust and format policies."),
    "doctor": ("replicante.cli.doctor", "Say which guarantees this machine can hold."),
    "events": ("replicante.cli.events", "Show the events of a run."),
}
"""Command -> module, and what it does in one line."""


def main() -> None:
    """The console script `replicante`."""
    sys.exit(dispatch(sys.argv[1:]))


def dispatch(arguments: Sequence[str]) -> int:
    """Runs one command line and gives its exit code.

    Args:
        arguments: without the program's name.
    """
    is_run = bool(arguments) and arguments[0] == "run"
    try:
        if is_run and env.COMPLETE not in os.environ:
            from replicante.cli import run

            return run.main(arguments[1:])
        from replicante.cli import root

        return root.main(arguments)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has left: that is no fault, and nothing more can be said to them.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exit_codes.NO
    except Exception as error:  # the top of the task: one line for the user, and the cause for a report
        sys.stderr.write(f"replicante: internal error: {_cause(error)}; please report it\n")
        return exit_codes.RUN_NOT_SET_UP if is_run else exit_codes.INTERNAL


def _cause(error: BaseException) -> str:
    """Kind, text and place of an error, in one line."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = ""
    if trace is not None:
        place = f" ({os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno})"
    return " ".join(f"{type(error).__name__}: {error}".split()) + place
