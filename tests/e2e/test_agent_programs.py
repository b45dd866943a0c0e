"""Coding agents, as npm installs them, start inside and answer, under their own profile and others."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Account

DEADLINE_S = 120


@pytest.fixture
def workspace(account: Account, ground: Path) -> Iterator[Path]:
    """A workspace of the account with the programs in its node_modules, as `npm install` puts them."""
    installed = os.environ.get("REPLICANTE_AGENT_PROGRAMS")
    assert installed is not None, "run by `nox -s e2e`, which installs the programs and says where"
    base = Path(tempfile.mkdtemp(dir=ground))
    shutil.copytree(installed, base, symlinks=True, copy_function=linked, dirs_exist_ok=True)
    base.chmod(0o755)
    os.chown(base, account.uid, account.gid)
    yield base
    shutil.rmtree(base, ignore_errors=True)


def linked(source: str, target: str) -> None:
    """Copies a file; as a second name of it where both lie on one file system: the programs are large."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


@pytest.mark.parametrize(
    ("program", "policy"),
    [
        ("codex", "codex"),
        ("codex", "moderate"),
        ("claude", "claude-code"),
        ("claude", "moderate"),
        ("claude", "coding-agent"),
    ],
)
def test_an_agent_starts_and_answers(
    account: Account, state: Path, workspace: Path, program: str, policy: str
) -> None:
    home = workspace / "home"
    home.mkdir()
    os.chown(home, account.uid, account.gid)
    argv = [f"node_modules/.bin/{program}", "--version"]
    inside = [
        *account.reach,
        *account.prefix,
        sys.executable,
        "-P",
        "-c",
        "from replicante.cli.app import main; main()",
        "run",
        "--policy",
        policy,
        "--workspace",
        str(workspace),
        "--",
        *argv,
    ]
    environment = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": str(home),
        "XDG_STATE_HOME": str(state),
        "LC_ALL": "C.UTF-8",
    }
    said = [
        subprocess.run(
            command,
            cwd=workspace,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
        for command in ([*account.prefix, *argv], inside)
    ]
    plain, done = said
    assert plain.returncode == 0, plain.stderr
    assert plain.stdout.strip()
    assert (done.returncode, done.stdout) == (0, plain.stdout), done.stderr
