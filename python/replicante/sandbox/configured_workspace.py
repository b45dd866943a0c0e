"""The workspace that an older configuration names itself (policy-language §17)."""

from __future__ import annotations

import os
import sys

from replicante.errors import LaunchError
from replicante.sandbox.bindings import resolve_workspace
from replicante.sandbox.state import kept_dir, workspace_key


def configured_workspace(path: str, state: str) -> tuple[str, str | None]:
    """The workspace inside, and the directory outside that stands for it.

    Where nothing of that name is outside, a private directory is kept for it, and a line on standard error
    says so; the name inside stays.

    Args:
        path: `filesystem.root`, or the first of `write_paths` below it.
        state: the state directory (`state.open_state`).

    Returns:
        The canonical path inside, and the private directory; None where that path is a directory outside.

    Raises:
        LaunchError: L021 when the private directory can't be made, L022 when something else has the name.
    """
    if os.path.isdir(path):
        return resolve_workspace(path), None
    if os.path.lexists(path):
        raise LaunchError(
            f"`filesystem` of the configuration names `{path}` as the workspace, which is no directory here",
            code="L022",
            help="name a directory as `root` or in `write_paths`",
        )
    private = kept_dir(state, "workspaces", workspace_key(path))
    sys.stderr.write(f"replicante: there is no {path} here; {private} stands for it\n")
    return path, private
