"""Field rows: terminals inside, and machines on which something is missing or closed."""

from __future__ import annotations

import json
import os
import pty
import select
import shutil
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import Any, cast

import pytest

from replicante.events.journal import Journal, find_journal
from replicante.sandbox.state import state_path

COMMAND = [sys.executable, "-P", "-c", "from replicante.cli.app import main; main()"]
DEADLINE_S = 60
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can build such a machine here")


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    path = tmp_path / "workspace"
    path.mkdir()
    return path


def run(workspace: Path, *arguments: str, before: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*before, *COMMAND, "run", *arguments],
        cwd=workspace,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


def ledger(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The first event of a run with a report as JSON."""
    identifier = json.loads(done.stderr.splitlines()[-1])["run"]
    first = Journal(find_journal(identifier, state_path())).read()[0]
    return cast("dict[str, Any]", json.loads(first.text))


def on_terminal(workspace: Path, *argv: str) -> tuple[str, list[object], list[object], int]:
    """Runs a command inside, on a terminal.

    Returns:
        What the terminal showed, its modes before and after, and how the command ended.
    """
    master, slave = pty.openpty()
    before = termios.tcgetattr(slave)
    child = subprocess.Popen(
        [*COMMAND, "run", "--policy", "moderate", "--workspace", ".", "--", *argv],
        cwd=workspace,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        env={**os.environ, "TERM": "xterm"},
    )
    shown = b""
    end = time.monotonic() + DEADLINE_S
    while child.poll() is None or select.select([master], [], [], 0)[0]:
        assert time.monotonic() < end, shown
        if select.select([master], [], [], 0.1)[0]:
            shown += os.read(master, 65536)
    after = termios.tcgetattr(slave)
    os.close(master)
    os.close(slave)
    return shown.decode(errors="replace"), before, after, child.returncode


def test_a_program_with_a_full_screen(workspace: Path) -> None:
    (workspace / "screen.py").write_text(
        "import curses\n"
        "def main(screen):\n"
        "    curses.raw()\n"
        "    screen.addstr(0, 0, 'drawn')\n"
        "    screen.refresh()\n"
        "curses.wrapper(main)\n"
        "print('left')\n"
    )
    shown, before, after, code = on_terminal(workspace, "python3", "screen.py")
    assert code == 0, shown
    assert "drawn" in shown
    assert "left" in shown
    assert after == before


def test_modes_are_restored_after_a_program_that_leaves_them_raw(workspace: Path) -> None:
    script = "import os, signal, tty; tty.setraw(0); print('raw'); os.kill(os.getpid(), signal.SIGKILL)"
    shown, before, after, code = on_terminal(workspace, "python3", "-c", script)
    assert "raw" in shown or code == 137
    assert code == 137, shown
    assert after == before


def test_a_terminal_is_opened_inside(workspace: Path) -> None:
    script = (
        "import os, pty\n"
        "def read(fd):\n"
        "    return os.read(fd, 1024)\n"
        "print(os.waitstatus_to_exitcode(pty.spawn(['sh', '-c', 'test -t 1 && tty && exit 7'], read)))"
    )
    done = run(workspace, "--", "python3", "-c", script)
    assert "/dev/pts/" in done.stdout, done.stderr
    assert done.stdout.rstrip().endswith("7")


def test_a_path_that_is_not_there_is_skipped_and_the_rest_is_in_force(workspace: Path) -> None:
    policy = workspace.parent / "small.policy"
    policy.write_text(
        "language 1\n\npolicy small extends moderate {\n"
        '  filesystem { allow read "/srv/replicante-absent", "/var/log/replicante-absent/**" as logs }\n}\n'
    )
    (workspace / ".env").write_text("token")
    done = run(workspace, "--json", "--policy", str(policy), "--", "sh", "-c", "cat .env; echo ran")
    assert done.stdout == "ran\n", done.stderr
    assert "/srv/replicante-absent" in str(ledger(done)["notes"])


def test_a_policy_that_can_not_be_read_is_refused(workspace: Path) -> None:
    policy = workspace / ".policy"
    policy.write_text("language 1\n\npolicy x extends moderate {\n}\n")
    # Root reads everything, but obeys only what belongs to it.
    if os.geteuid() == 0:
        os.chown(policy, 12345, 12345)
    else:
        policy.chmod(0)
    done = run(workspace, "--", "touch", "started")
    assert done.returncode == 125
    assert done.stderr.count("\n") <= 2
    assert not (workspace / "started").exists()


# A /dev with everything but fuse, in a mount namespace of its own.
WITHOUT_FUSE = """
set -e
mount --make-rprivate /
mount -t tmpfs dev "$0"
for name in null zero full random urandom tty; do : > "$0/$name"; mount --bind /dev/$name "$0/$name"; done
mkdir "$0/pts" "$0/shm"; mount --bind /dev/pts "$0/pts"; ln -s pts/ptmx "$0/ptmx"; ln -s /proc/self/fd "$0/fd"
mount --move "$0" /dev
exec "$@"
"""


@AS_ROOT
def test_without_fuse_a_run_goes_on_and_the_ledger_says_so(workspace: Path, tmp_path: Path) -> None:
    place = tmp_path / "dev"
    place.mkdir()
    before = ("unshare", "-m", "sh", "-c", WITHOUT_FUSE, str(place))
    (workspace / ".env").write_text("token")
    done = run(workspace, "--json", "--", "sh", "-c", "cat .env; echo ran", before=before)
    assert done.stdout == "ran\n", done.stderr
    weaker = [entry for entry in ledger(done)["guarantees"] if entry["name"] == "read-events"]
    assert [entry["state"] for entry in weaker] == ["weaker"]
    refused = run(workspace, "--no-weaker", "--", "touch", "started", before=before)
    assert refused.returncode == 125
    assert not (workspace / "started").exists()


@AS_ROOT
def test_without_user_namespaces_nothing_is_run(workspace: Path) -> None:
    """In a user namespace that may have none below it, root of which is all that this machine's root is."""
    script = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"'
    # A program that starts after the map is written has root's capabilities there.
    wait = 'echo up; read go; exec "$@"'
    before = ("unshare", "-U", "sh", "-c", wait, "x", "sh", "-c", script, "x")
    child = subprocess.Popen(
        [*before, *COMMAND, "run", "--", "touch", "started"],
        cwd=workspace,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "up\n"
    for name in ("uid_map", "gid_map"):
        Path(f"/proc/{child.pid}/{name}").write_text("0 0 65536\n")
    _, said = child.communicate("go\n", timeout=DEADLINE_S)
    assert child.returncode == 125, said
    assert said.count("\n") == 1, said
    assert "namespace" in said
    assert not (workspace / "started").exists()


@pytest.mark.skipif(shutil.which("tmux") is None, reason="no tmux here")
def test_the_multiplexer_of_the_machine_is_out_of_reach(workspace: Path, tmp_path: Path) -> None:
    """A command for the host's tmux would run outside, as its owner."""
    socket = workspace / "tmux.sock"
    proof = tmp_path / "proof"
    script = f"tmux -S {socket} run-shell 'touch {proof}'"
    subprocess.run(["tmux", "-f", "/dev/null", "-S", socket, "new-session", "-d", "sleep 600"], check=True)
    try:
        subprocess.run(["sh", "-c", script], check=True)
        assert proof.exists()
        proof.unlink()
        done = run(workspace, "--", "sh", "-c", script)
        assert done.returncode != 0
        assert not proof.exists()
        assert "tmux.sock" in done.stderr
    finally:
        subprocess.run(["tmux", "-S", socket, "kill-server"], check=False)
