"""Finds `replicante-shim`: inside the package, and nowhere else (style §5).

No search along `PATH` and no override by the environment: the program that guards an agent is the one that
came in the same wheel. That both have the same version is checked by the shim itself, which refuses a launch
description of another version with L001.
"""

from __future__ import annotations

import os
import sys

from replicante.errors import LaunchError

MACHINES = ("x86_64", "aarch64")


def package_dir() -> str:
    """The directory of the package `replicante`."""
    return os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def require_supported_system() -> None:
    """Refuses in one line where no agent can run (architecture 11).

    Raises:
        LaunchError: L020 on another system than Linux on x86_64 and aarch64.
    """
    machine = os.uname().machine if hasattr(os, "uname") else ""
    if sys.platform != "linux" or machine not in MACHINES:
        raise LaunchError(
            f"agents run on Linux ({', '.join(MACHINES)}) only, this is {sys.platform} {machine}".rstrip(),
            code="L020",
            help="run the container image there; `replicante policy` works here",
        )


def shim_path() -> str:
    """The path of the shim.

    Raises:
        LaunchError: L020 on another system, L001 when the installation lacks a program that can be started.
    """
    require_supported_system()
    path = os.path.join(package_dir(), "_bin", "replicante-shim")
    if not os.access(path, os.X_OK):
        raise LaunchError(
            f"the shim is missing or can't be executed: {path}",
            code="L001",
            help="reinstall: pip install --force-reinstall replicante",
        )
    return path
