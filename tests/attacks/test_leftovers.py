"""Leftovers: after a run, and after the worst end of one, the machine is as before."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.conftest import Arena, Children

DEADLINE_S = 20


def files(top: Path) -> dict[str, tuple[int, int]]:
    """Every name below a directory, with its mode and size."""
    return {
        str(path.relative_to(top)): (path.lstat().st_mode, path.lstat().st_size if path.is_file() else 0)
        for path in sorted(top.rglob("*"))
    }


def mounts() -> list[str]:
    """Where this machine has mounts of ours."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [line.split()[4] for line in lines if "replicante" in line]


def test_nothing_in_the_workspace(arena: Arena) -> None:
    for name in (".env", ".git/hooks/pre-commit", ".vscode/tasks.json", "src/main.py"):
        arena.write(arena.workspace / name, "x")
    before = files(arena.workspace)
    inside = arena.inside("cat .env; echo x > .git/hooks/pre-commit; ls -la; true")
    assert inside.denials
    assert files(arena.workspace) == before


def test_nothing_after_a_kill_of_everything_outside(arena: Arena, children: Children) -> None:
    arena.write(arena.workspace / ".env", "x")
    before, mounted = files(arena.workspace), mounts()
    child = children.start(arena.inside_command(["sh", "-c", "echo up; exec sleep 600"]), arena.env)
    assert child.stdout is not None
    assert child.stdout.readline() == b"up\n"
    child.send_signal(signal.SIGKILL)
    child.wait(DEADLINE_S)
    assert files(arena.workspace) == before
    assert mounts() == mounted
    # The path is used at once by the next run.
    assert arena.inside("true").code == 0


def test_no_process_of_a_run_that_ended(arena: Arena) -> None:
    mark = f"left{os.urandom(6).hex()}"
    arena.inside(f"for i in 1 2 3 4 5; do (sh -c 'sleep 600; :' {mark} &); done; true")
    end = time.monotonic() + DEADLINE_S
    while named(mark):
        assert time.monotonic() < end, "processes are left"


def named(mark: str) -> bool:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if mark.encode() in (entry / "cmdline").read_bytes():
                    return True
            except OSError:
                continue
    return False
