"""Control groups that killed runs left behind: found by their name, removed by the shim."""

from __future__ import annotations

import json
import os
import subprocess
from typing import cast

from replicante.errors import LaunchError
from replicante.sandbox.shim import shim_path
from replicante.sandbox.state import open_state

REMOVAL_LIMIT_S = 60.0
"""Another launch holds the lock for some milliseconds; a machine has some thousand groups."""


def remove_leftovers() -> list[str]:
    """Removes the caller's empty groups that have the name of one of our runs, wherever they are.

    A group in which a process is can't be removed (cgroup-v2.rst), so no run that goes on is touched.

    Returns:
        The directories that were removed.

    Raises:
        LaunchError: L001 when the shim does not answer; L021 when the state directory can't be used.
    """
    runs = os.path.join(open_state(), "runs")
    try:
        done = subprocess.run(  # noqa: S603 -- the shim of this very package
            [shim_path(), "leftovers", runs],
            capture_output=True,
            text=True,
            timeout=REMOVAL_LIMIT_S,
            check=False,
        )
        if done.returncode == 0:
            return cast("list[str]", json.loads(done.stdout))
        why = done.stderr.strip()
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        why = str(error)
    raise LaunchError(
        f"the shim does not answer: {why}", code="L001", help="pip install --force-reinstall replicante"
    )
