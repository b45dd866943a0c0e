"""The arena of the attack tests: each attack must succeed plainly and fail inside.

Both runs are judged from outside, by what became of a victim that the test owns. Every test runs as root
and as an ordinary user; what a machine can't show (root, when the tests have no root) is skipped by name.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from replicante.events.journal import Journal, find_journal

if TYPE_CHECKING:
    from tests.conftest import Account

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
