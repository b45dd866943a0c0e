"""The state directory: where runs, private homes, caches and records of one user lie (architecture 10).

`$XDG_STATE_HOME/replicante`, or `/var/lib/replicante` for root; never below a directory that others can swap.
What lies here decides what a run may do (compiled policies, trust), so it must belong to the caller alone,
and it is never visible inside a sandbox.
"""

from __future__ import annotations

import os
import pwd
import stat
import time

from replicante import env
from replicante.errors import LaunchError
from replicante.sandbox.digest import sha256

ROOT_STATE = "/var/lib/replicante"
ROOT_CONFIG = "/etc/replicante"
PARTS = ("runs", "homes", "cache", "compiled", "uids")
"""The directories of a state directory."""

KEEP_RUNS_DAYS = 30
KEEP_RUNS_BYTES = 1 << 30


def state_path() -> str:
    """Where the caller's state directory lies; nothing is made or checked."""
    if os.geteuid() == 0:
        return ROOT_STATE
    return os.path.join(_base(env.XDG_STATE_HOME, ".local/state"), "replicante")


def config_path() -> str:
    """Where the operator's settings lie: `default.policy` and what later parts add."""
    if os.geteuid() == 0:
        return ROOT_CONFIG
    return os.path.join(_base(env.XDG_CONFIG_HOME, ".config"), "replicante")


def _base(variable: str, fallback: str) -> str:
    # The base directory specification says that a relative value is to be ignored.
    value = os.environ.get(variable, "")
    if os.path.isabs(value):
        return os.path.normpath(value)
    try:
        home = pwd.getpwuid(os.geteuid()).pw_dir
    except KeyError as error:
        raise LaunchError(
            f"user id {os.geteuid()} has no entry in the account database, so its state has no place",
            code="L021",
            help=f"set {variable} to a directory of your own",
        ) from error
    return os.path.join(home, fallback)


def open_state() -> str:
    """The state directory, made if absent, with its parts; owner and mode are checked.

    Raises:
        LaunchError: L021 when it can't be made, is a link, or others may write it.
    """
    path = state_path()
    try:
        _make(path)
        for part in PARTS:
            _make(os.path.join(path, part))
    except OSError as error:
        raise LaunchError(
            f"the state directory can't be used: {error.filename}: {error.strerror}",
            code="L021",
            help=f"make {path} a directory of your own with mode 0700",
        ) from error
    return path


def _make(path: str) -> None:
    """Makes a private directory, or makes sure that the one there is private."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        os.makedirs(path, mode=0o700, exist_ok=True)  # another run may be faster: it is checked below
        found = os.lstat(path)
    wrong = None
    if not stat.S_ISDIR(found.st_mode):
        wrong = "is no directory"
    elif found.st_uid != os.geteuid():
        wrong = f"belongs to user {found.st_uid}"
    elif found.st_mode & 0o077:
        wrong = f"has mode {stat.S_IMODE(found.st_mode):04o}, so others can reach it"
    if wrong is not None:
        raise LaunchError(
            f"the state directory is refused: {path} {wrong}",
            code="L021",
            help=f"chown it to yourself and `chmod 700 {path}`",
        )


def workspace_key(workspace: str) -> str:
    """A directory name for what is kept for one workspace: the start of the digest of its path."""
    return sha256(os.fsencode(workspace)).hexdigest()[:32]


def new_run_id() -> str:
    """A fresh run identifier, `YYYYMMDD-HHMMSS-xxxxxxxx` (UTC), so that names sort by time."""
    return f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{os.urandom(4).hex()}"


def make_run_dir(state: str, run: str) -> str:
    """The empty directory of one run, mode 0700.

    Raises:
        LaunchError: L021 when it can't be made.
    """
    return _fresh(os.path.join(state, "runs", run))


def kept_dir(state: str, part: str, key: str) -> str:
    """A private directory that outlives runs, below `homes` or `cache`; made if absent."""
    path = os.path.join(state, part, key)
    try:
        _make(path)
    except OSError as error:
        raise LaunchError(
            f"{path} can't be made: {error.strerror}",
            code="L021",
            help="free space or change the directory's owner",
        ) from error
    return path


def _fresh(path: str) -> str:
    try:
        os.mkdir(path, 0o700)
    except OSError as error:
        raise LaunchError(
            f"the run's directory {path} can't be made: {error.strerror}",
            code="L021",
            help="free space in the state directory",
        ) from error
    return path


def prune_runs(state: str) -> None:
    """Removes finished runs that are older than 30 days, and the oldest above 1 GiB; at most once a day.

    A run counts as finished when its `exit.json` is there (supervision 1.3); others are left to `doctor`.
    """
    marker = os.path.join(state, "runs", ".pruned")
    now = time.time()
    try:
        if now - os.stat(marker).st_mtime < 86_400:
            return
    except FileNotFoundError:
        pass
    try:
        with open(marker, "wb"):
            pass
    except OSError as error:
        raise LaunchError(
            f"the state directory can't be used: {marker}: {error.strerror}",
            code="L021",
            help="free space in it",
        ) from error
    from replicante.sandbox.retention import remove_old_runs

    remove_old_runs(os.path.join(state, "runs"), now, KEEP_RUNS_DAYS * 86_400, KEEP_RUNS_BYTES)
