"""Whom tests run as: root and an ordinary user, who can reach the interpreter that starts our command."""

from __future__ import annotations

import os
import pwd
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

# In a mount namespace of its own: shows trees below directories that the ordinary user may not enter.
REACH = """
set -e
stash=$1; shift; count=$1; shift
mount --make-rprivate /
mount -t tmpfs -o mode=755 stash "$stash"
i=0
for a; do
  [ $i -lt $count ] || break
  mkdir "$stash/$i"; mount --bind "${a#*::}" "$stash/$i"; i=$((i+1))
done
i=0
while [ $i -lt $count ]; do
  closed=${1%%::*}; tree=${1#*::}
  [ -x "$stash/done$(echo "$closed" | tr / _)" ] || {
    mount -t tmpfs -o mode=755 reach "$closed"; mkdir "$stash/done$(echo "$closed" | tr / _)"
  }
  mkdir -p "$tree"; mount --bind "$stash/$i" "$tree"; i=$((i+1)); shift
done
exec "$@"
"""


@dataclass(frozen=True)
class Account:
    """Whom a test runs as."""

    name: str
    uid: int
    gid: int
    prefix: tuple[str, ...]
    """What a plain command is prefixed with to run as this user."""
    reach: tuple[str, ...]
    """What our own command is prefixed with besides, so that this user can read the interpreter."""


def _closed_above(tree: Path) -> Path | None:
    """The topmost directory on the way to `tree` that others may not enter."""
    for parent in reversed([tree, *tree.parents]):
        if not parent.stat().st_mode & 0o001:
            return parent
    return None


def _reach(stash: Path) -> tuple[str, ...]:
    import replicante

    trees = {
        Path(sys.base_prefix).resolve(),
        Path(sys.prefix).resolve(),
        Path(replicante.__path__[0]).resolve().parent,
    }
    pairs = [f"{closed}::{tree}" for tree in sorted(trees) if (closed := _closed_above(tree)) is not None]
    if not pairs:
        return ()
    return ("unshare", "-m", "sh", "-c", REACH, "reach", str(stash), str(len(pairs)), *pairs)


def _ordinary() -> pwd.struct_passwd:
    try:
        return pwd.getpwuid(1000)
    except KeyError:
        return pwd.getpwnam("nobody")


@pytest.fixture(scope="session")
def ground() -> Iterator[Path]:
    """Where what these users own lies: every user may enter it, which pytest's own directory forbids."""
    path = Path(tempfile.mkdtemp(prefix="replicante-tests-", dir="/tmp"))
    path.chmod(0o755)
    (path / "stash").mkdir()
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session", params=["root", "user"])
def account(request: pytest.FixtureRequest, ground: Path) -> Account:
    """Root, and a user without any right of its own."""
    kind = str(request.param)
    if os.geteuid() != 0:
        if kind == "root":
            pytest.skip("the tests don't run as root")
        return Account("user", os.geteuid(), os.getegid(), (), ())
    if kind == "root":
        return Account("root", 0, 0, (), ())
    found = _ordinary()
    uid, gid = found.pw_uid, found.pw_gid
    prefix = ("setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups")
    return Account("user", uid, gid, prefix, _reach(ground / "stash"))


@pytest.fixture(scope="session")
def state(account: Account, ground: Path) -> Path:
    """The state directory of all tests of an ordinary user (root's is fixed)."""
    path = ground / f"state-{account.name}"
    path.mkdir(mode=0o700)
    os.chown(path, account.uid, account.gid)
    return path
