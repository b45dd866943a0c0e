"""Whom tests run as, and the arena: an attack must succeed plainly and fail inside.

Tests run as root and as an ordinary user who can reach the interpreter that starts our command. Both runs
of an attack are judged from outside, by what became of a victim that the test owns. What a machine can't
show (root, when the tests have no root) is skipped by name.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, cast

import pytest

from replicante.events.journal import Journal, find_journal

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


PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
START = ("-P", "-c", "from replicante.cli.app import main; main()")
DEADLINE_S = 60
"""A run that takes longer hangs: nothing here waits on purpose for more than a few seconds."""


@dataclass(frozen=True)
class Done:
    """A finished command."""

    code: int
    out: str
    err: str

    @property
    def report(self) -> dict[str, Any]:
        """The report of `run --json`: the last line of standard error."""
        return cast("dict[str, Any]", json.loads(self.err.splitlines()[-1]))

    @property
    def denials(self) -> list[str]:
        """Each kind of denial as `action resource`."""
        return [f"{denial['action']} {denial['resource']}" for denial in self.report["denials"]]


def nothing() -> None:
    """What is to be done where an attack leaves nothing to restore."""


@dataclass
class Arena:
    """A workspace, a place outside of it, and the two ways to run a program."""

    account: Account
    base: Path
    state: Path
    python: str = sys.executable
    """The interpreter that starts our command."""
    spent: list[str] = field(default_factory=list[str])

    @property
    def workspace(self) -> Path:
        """The directory that the agent works on."""
        return self.base / "ws"

    @property
    def outside(self) -> Path:
        """A directory of the same user that no rule allows."""
        return self.base / "outside"

    @property
    def env(self) -> dict[str, str]:
        """The environment of all commands."""
        return {
            "PATH": PATH,
            "HOME": str(self.base / "home"),
            "XDG_STATE_HOME": str(self.state),
            "PYTHONDONTWRITEBYTECODE": "1",
            "LC_ALL": "C.UTF-8",
        }

    def own(self, path: Path) -> Path:
        """Gives a path to the user of the test."""
        os.chown(path, self.account.uid, self.account.gid, follow_symlinks=False)
        return path

    def own_directory(self, path: Path) -> Path:
        """Makes a private directory of the user."""
        path.mkdir(mode=0o700)
        return self.own(path)

    def write(self, path: Path, text: str) -> Path:
        """Makes a file of the user, and the directories above it."""
        for parent in reversed(path.parents):
            if not parent.exists():
                parent.mkdir()
                self.own(parent)
        path.write_text(text)
        return self.own(path)

    def policy(self, body: str) -> str:
        """A policy of the operator that extends moderate; gives its path."""
        text = f"language 1\n\npolicy small extends moderate {{\n{body}\n}}\n"
        return str(self.write(self.base / "small.policy", text))

    def compiled(self, source: str, name: str = "attack", *flags: str) -> str:
        """Compiles a C program into the workspace; gives the command to run it there."""
        file = self.write(self.workspace / f"{name}.c", source)
        subprocess.run(["gcc", "-O1", "-w", *flags, "-o", file.with_suffix(""), file], check=True)
        self.own(file.with_suffix(""))
        return f"./{name}"

    def plain_command(self, argv: Sequence[str]) -> list[str]:
        """The command as the user would type it."""
        return [*self.account.prefix, *argv]

    def inside_command(self, argv: Sequence[str], policy: str = "moderate", *options: str) -> list[str]:
        """The same under our own command."""
        run = ["run", "--json", "--policy", policy, "--workspace", str(self.workspace), *options, "--", *argv]
        return [*self.account.reach, *self.account.prefix, self.python, *START, *run]

    def call(self, command: Sequence[str], *, fds: Sequence[int] = (), stdin: str = "") -> Done:
        """Runs a command in the workspace to its end."""
        done = subprocess.run(
            command,
            cwd=self.workspace,
            env=self.env,
            input=stdin.encode(),
            capture_output=True,
            timeout=DEADLINE_S,
            pass_fds=fds,
            check=False,
        )
        return Done(
            done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        )

    def plain(self, script: str, *, fds: Sequence[int] = ()) -> Done:
        """Runs a shell script without us."""
        return self.call(self.plain_command(["sh", "-c", script]), fds=fds)

    def inside(self, script: str, *, policy: str = "moderate", fds: Sequence[int] = ()) -> Done:
        """Runs a shell script inside; it must have been started."""
        done = self.call(self.inside_command(["sh", "-c", script], policy), fds=fds)
        assert done.code not in {122, 123, 125}, f"nothing was run: {done.err}"
        self.spent.append(done.report["run"])
        return done

    def ledger(self, run: str) -> dict[str, Any]:
        """The first event of a run."""
        return self.events(run)[0]

    def events(self, run: str) -> list[dict[str, Any]]:
        """The events of a run, read by the product's own reader, which verifies their digests."""
        state = "/var/lib/replicante" if self.account.uid == 0 else str(self.state / "replicante")
        return [
            cast("dict[str, Any]", json.loads(event.text))
            for event in Journal(find_journal(run, state)).read()
        ]

    def attack(
        self,
        script: str,
        *,
        effect: Callable[[Done], bool],
        restore: Callable[[], None] = nothing,
        seen: str | None = None,
        unseen: str | None = None,
        policy: str = "moderate",
        fds: Sequence[int] = (),
    ) -> Done:
        """Runs an attack plainly and inside.

        Args:
            script: the attack, for sh.
            effect: whether it succeeded, judged from outside.
            restore: puts the victim back.
            seen: the denial that must be in the report, as a pattern of `action resource`.
            unseen: the class in the ledger's list of what stays invisible, where there is no event.
            policy: under what it runs inside.
            fds: descriptors that the caller leaves open.

        Returns:
            The run inside.
        """
        assert (seen is None) != (unseen is None)
        plain = self.plain(script, fds=fds)
        assert effect(plain), f"does not succeed plainly, so it shows nothing: {plain}"
        restore()
        inside = self.inside(script, policy=policy, fds=fds)
        assert not effect(inside), f"succeeded inside: {inside}"
        restore()
        if seen is not None:
            assert any(fnmatchcase(denial, seen) for denial in inside.denials), inside
        else:
            classes = self.ledger(inside.report["run"])["invisible"]
            assert unseen is not None
            assert any(name.startswith(unseen) for name in classes), classes
        return inside


@pytest.fixture
def arena(account: Account, ground: Path, state: Path) -> Iterator[Arena]:
    """A fresh arena; what runs of root left in the machine's state directory is removed."""
    arena = Arena(account, Path(tempfile.mkdtemp(dir=ground)), state)
    arena.base.chmod(0o755)
    arena.own(arena.base)
    for path in (arena.workspace, arena.outside, arena.base / "home"):
        path.mkdir()
        arena.own(path)
    yield arena
    if account.uid == 0:
        for run in arena.spent:
            shutil.rmtree(Path("/var/lib/replicante/runs") / run, ignore_errors=True)
    shutil.rmtree(arena.base, ignore_errors=True)


@dataclass
class Children:
    """Processes of a test, ended with it."""

    started: list[subprocess.Popen[bytes]] = field(default_factory=list[subprocess.Popen[bytes]])

    def start(self, command: Sequence[str], env: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Starts a process that the test owns."""
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, env=env)
        self.started.append(child)
        return child


@pytest.fixture
def children() -> Iterator[Children]:
    """Starts victims and ends them."""
    children = Children()
    yield children
    for child in children.started:
        if child.poll() is None:
            child.send_signal(signal.SIGKILL)
        with child:
            pass
