"""The values of a policy's variables in one run (policy-language T6).

Values come from the operator: the working directory, the account database and the command line. Never from
the agent, and never from `$HOME`, which whoever starts us may have set to anything.
"""

from __future__ import annotations

import os
import pwd

from replicante.errors import LaunchError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

VARIABLES = ("workspace", "home", "tmp", "cache", "runtime", "agent", "run", "user")
"""The closed set of T6, in its order."""

PATH_VARIABLES = ("workspace", "home", "tmp", "cache", "runtime")

TMP_INSIDE = "/tmp"  # noqa: S108 -- the name inside the sandbox, where it is a private file system
CACHE_INSIDE = "/agent/cache"
RUNTIME_INSIDE = "/agent/run"
DEFAULT_AGENT = "agent"

_ALPHABET = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")


def top_directory(start: str) -> str | None:
    """The first directory that holds `.git`, from `start` upwards; `None` outside of any repository."""
    directory = start
    while True:
        if os.path.lexists(os.path.join(directory, ".git")):
            return directory
        parent = os.path.dirname(directory)
        if parent == directory:
            return None
        directory = parent


def resolve_workspace(given: str | None) -> str:
    """The canonical path of the directory that the agent works on.

    Args:
        given: what the operator named; without it the repository's top directory, else the current directory.

    Raises:
        LaunchError: L022 when it is no directory.
    """
    try:
        here = os.path.realpath(given if given is not None else os.getcwd(), strict=True)
    except OSError as error:
        raise LaunchError(
            f"the workspace `{given or '.'}` can't be used: {error.strerror}",
            code="L022",
            help="name an existing directory with `--workspace DIR`",
        ) from error
    if not os.path.isdir(here):
        raise LaunchError(
            f"the workspace `{given}` is no directory",
            code="L022",
            help="name an existing directory with `--workspace DIR`",
        )
    if given is not None:
        return here
    return top_directory(here) or here


def owner_home() -> str:
    """The home directory of the account that starts the run, canonical where it exists.

    Raises:
        LaunchError: L022 when the account database has no entry for the caller.
    """
    return os.path.realpath(_account().pw_dir)


def _account() -> pwd.struct_passwd:
    try:
        return pwd.getpwuid(os.getuid())
    except KeyError as error:
        raise LaunchError(
            f"user id {os.getuid()} has no entry in the account database",
            code="L022",
            help="start it as a user that exists (in a container: add a line to /etc/passwd)",
        ) from error


def default_bindings(workspace: str, run: str, overrides: Mapping[str, str] | None = None) -> dict[str, str]:
    """All eight variables of a run.

    Args:
        workspace: canonical path of the directory that the agent works on.
        run: the run's identifier.
        overrides: values that the operator set with `--set`; names must be those of `VARIABLES`.

    Raises:
        LaunchError: L023 for an unknown name or a value that the variable can't have.
    """
    account = _account()
    values = {
        "workspace": workspace,
        "home": os.path.realpath(account.pw_dir),
        "tmp": TMP_INSIDE,
        "cache": CACHE_INSIDE,
        "runtime": RUNTIME_INSIDE,
        "agent": DEFAULT_AGENT,
        "run": run,
        # A login name that the alphabet of T6 lacks would make every policy that mentions it unusable.
        "user": "".join(c if c in _ALPHABET else "_" for c in account.pw_name)[:64] or "user",
    }
    for name, value in (overrides or {}).items():
        _check(name, value)
        values[name] = value
    return values


def _check(name: str, value: str) -> None:
    if name not in VARIABLES:
        raise LaunchError(
            f"`--set {name}=…`: there is no variable `{name}`",
            code="L023",
            help=f"known are {', '.join(VARIABLES)}",
        )
    if name in PATH_VARIABLES:
        if not os.path.isabs(value) or os.path.normpath(value) != value or value.startswith("//"):
            raise LaunchError(
                f"`--set {name}={value}`: the path is not absolute and canonical",
                code="L023",
                help="write it out from `/`",
            )
    elif value in (".", "..") or not 1 <= len(value) <= 64 or not _ALPHABET.issuperset(value):
        raise LaunchError(
            f"`--set {name}={value}`: the value does not match [A-Za-z0-9._-]{{1,64}}",
            code="L023",
            help="use letters, digits, dots, hyphens",
        )
