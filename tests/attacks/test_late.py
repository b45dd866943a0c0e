"""Masked names that a process of the host replaces while the agent runs are closed again."""

from __future__ import annotations

import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Arena, Children, Done

TOKEN = "leak-c41f"  # noqa: S105 -- what must not come out

# Waits until the host has acted, then reads until it is refused, at most three seconds long.
READER = """
touch ready
until [ -e acted ]; do :; done
end=$(($(date +%%s) + 3))
while [ $(date +%%s) -le $end ]; do cat %s >last 2>/dev/null || { echo shut; exit; }; done
cat last
"""


def rename(path: Path) -> None:
    """What an editor does when it saves."""
    new = path.with_name("saved")
    new.write_text(TOKEN)
    new.rename(path)


def remove_and_make(path: Path) -> None:
    path.unlink()
    path.write_text(TOKEN)


def move_a_directory(path: Path) -> None:
    """The name becomes a directory's."""
    path.unlink()
    new = path.with_name("tree")
    new.mkdir()
    (new / "inner").write_text(TOKEN)
    new.rename(path)


def while_it_runs(arena: Arena, command: list[str], act: Callable[[Path], None], name: str) -> Done:
    """Runs a command; when it says that it is ready, the host acts on a name in the workspace."""
    workspace = arena.workspace

    def host() -> None:
        while not (workspace / "ready").exists():
            if finished.wait(0.001):
                return
        act(workspace / name)
        arena.own(workspace / name)
        (workspace / "acted").touch()

    finished = threading.Event()
    thread = threading.Thread(target=host)
    thread.start()
    try:
        return arena.call(command)
    finally:
        finished.set()
        thread.join()


ACTS = {
    "renamed over": (rename, ".env"),
    "removed and made": (remove_and_make, ".env"),
    "renamed over, deeper": (rename, "app/deep/.env"),
    "a directory in its place": (move_a_directory, ".env/inner"),
}


@pytest.mark.parametrize(("act", "read"), ACTS.values(), ids=ACTS.keys())
def test_a_masked_name_that_the_host_replaces(arena: Arena, act: Callable[[Path], None], read: str) -> None:
    name = read.removesuffix("/inner")
    script = READER % read
    arena.write(arena.workspace / name, TOKEN)
    plain = while_it_runs(arena, arena.plain_command(["sh", "-c", script]), act, name)
    assert TOKEN in plain.out, "is not read plainly, so it shows nothing"
    for made in ("ready", "acted", "last"):
        (arena.workspace / made).unlink()
    victim = arena.workspace / name
    subprocess.run(["rm", "-rf", victim], check=True)
    arena.write(victim, TOKEN)
    inside = while_it_runs(arena, arena.inside_command(["sh", "-c", script]), act, name)
    run = inside.report["run"]
    arena.spent.append(run)
    assert inside.out == "shut\n", inside
    masked = [event["resource"] for event in arena.events(run) if event["k"] == "file.masked"]
    assert masked[-1:] == [str(victim)]
    late = [entry for entry in arena.ledger(run)["guarantees"] if entry["name"] == "late-names"]
    assert "the host makes or replaces beside a masked one" in late[0]["by"]


def test_a_later_name_under_a_rule_that_covers_what_the_run_makes(arena: Arena) -> None:
    """Beside a mask it is closed, whoever made it; the rule's policy has accepted that others are not."""
    policy = arena.policy(
        """  accept weaker late-names
  filesystem { deny any "${workspace}/**/*.key" as keys }"""
    )
    arena.write(arena.workspace / "first.key", TOKEN)
    command = arena.inside_command(["sh", "-c", READER % "second.key"], policy)
    inside = while_it_runs(arena, command, rename, "second.key")
    arena.spent.append(inside.report["run"])
    assert inside.out == "shut\n", inside
    assert f"read {arena.workspace}/second.key" in inside.denials


def test_a_masked_name_whose_directory_the_agent_moves_away(arena: Arena) -> None:
    """The mask moves along, and so does the watch."""
    arena.write(arena.workspace / "app" / ".env", TOKEN)
    script = "mv app away; cat away/.env; " + READER % "away/.env"
    inside = while_it_runs(arena, arena.inside_command(["sh", "-c", script]), rename, "away/.env")
    arena.spent.append(inside.report["run"])
    assert inside.out == "shut\n", inside
    assert (arena.workspace / "away" / ".env").read_text() == TOKEN


def make_directories(path: Path) -> None:
    """A name some levels down, in directories that were not there."""
    path.parent.mkdir(parents=True)
    path.write_text(TOKEN)


@pytest.mark.parametrize("name", ["second.key", "app/second.key", "new/deep/er/second.key"])
def test_a_later_name_far_from_any_mask(arena: Arena, name: str) -> None:
    """A pattern that may close any name: every directory of the tree is watched."""
    policy = arena.policy(
        """  accept weaker late-names
  filesystem { deny any "${workspace}/**/*.key" as keys }"""
    )
    arena.write(arena.workspace / "app" / "other", "")
    act = make_directories if name.startswith("new") else rename
    command = arena.inside_command(["sh", "-c", READER % name], policy)
    inside = while_it_runs(arena, command, act, name)
    arena.spent.append(inside.report["run"])
    assert inside.out == "shut\n", inside
    late = [
        entry for entry in arena.ledger(inside.report["run"])["guarantees"] if entry["name"] == "late-names"
    ]
    assert f"any that appears in {arena.workspace}" in late[0]["by"]


@pytest.mark.parametrize("name", ["secrets/of/mine", "shop/secrets"])
def test_a_name_that_a_rule_closes_and_that_was_not_there(arena: Arena, name: str) -> None:
    policy = arena.policy(
        f"""  accept weaker late-names
  filesystem {{ deny any "${{workspace}}/{name}" as secrets }}"""
    )
    command = arena.inside_command(["sh", "-c", READER % name], policy)
    inside = while_it_runs(arena, command, make_directories, name)
    arena.spent.append(inside.report["run"])
    assert inside.out == "shut\n", inside


def test_what_the_run_makes_of_a_closed_name_stays_its_own(arena: Arena) -> None:
    """`existing` covers what was there before, not what the run makes beside it."""
    arena.write(arena.workspace / "app" / ".env", TOKEN)
    done = arena.inside(
        "echo mine > app/.env.local; for i in $(seq 50); do cat app/.env.local || exit 1; done"
    )
    assert done.code == 0, done


def test_a_mask_is_not_taken_away_by_the_agent(arena: Arena) -> None:
    arena.write(arena.workspace / ".env", TOKEN)
    done = arena.inside("rm -f .env; mv -f other .env; ln -f other .env; cat .env; true")
    assert TOKEN not in done.out
    assert "read */.env".replace("*", str(arena.workspace)) in done.denials
    assert (arena.workspace / ".env").read_text() == TOKEN


def test_the_server_is_out_of_reach(arena: Arena) -> None:
    """Nobody inside has a descriptor of the server, and the place of the masks has nothing in it."""
    arena.write(arena.workspace / ".env", TOKEN)
    done = arena.inside(
        "ls -l /proc/[0-9]*/fd; ls -a /agent/masks/ /agent/masks/2; stat /agent/masks/0; "
        "cat /agent/masks/0; mknod /tmp/fuse c 10 229; ls -l /dev/fuse"
    )
    assert "/dev/fuse" not in done.out
    assert done.err.count("/agent/masks") == 4, done.err
    assert "/tmp/fuse" in done.err
    assert "cannot access '/dev/fuse'" in done.err


def test_a_killed_shim_leaves_nothing_hung(arena: Arena) -> None:
    """Callers that wait for an answer are let go, and helper and sandbox end."""
    arena.write(arena.workspace / ".env", TOKEN)
    flood = "touch ready; while :; do cat .env /etc/none-$$; done 2>/dev/null & wait"
    child = subprocess.Popen(
        arena.inside_command(["sh", "-c", flood]),
        cwd=arena.workspace,
        env=arena.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with child:
        while not (arena.workspace / "ready").exists():
            assert child.poll() is None, child.communicate()
        left = _below(child.pid)
        assert len(left) >= 4, "the helper, the first process, the agent and what it runs"
        child.kill()
        # Ends only when every process that holds its output has ended.
        child.communicate(timeout=20)
    end = time.monotonic() + 20
    while (still := [pid for pid in left if _runs(pid)]) and time.monotonic() < end:
        pass
    assert not still


def _below(pid: int) -> list[int]:
    """All processes that come from one, by the kernel's own lists."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += [int(child), *_below(int(child))]
    return found


def _runs(pid: int) -> bool:
    """Whether a process is there and not only waiting to be reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


HOLD_ALL = """python3 -c '
import ctypes, sys
libc = ctypes.CDLL(None)
while libc.inotify_init() >= 0:
    pass
print("spent", flush=True)
sys.stdin.read()
'"""


def test_a_run_without_a_watcher_says_so_and_closes_what_was_there(arena: Arena, children: Children) -> None:
    """The system has 128 inotify instances for a user: more runs than that can be alive."""
    arena.write(arena.workspace / ".env", TOKEN)
    holder = children.start(arena.plain_command(["sh", "-c", HOLD_ALL]), arena.env)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"spent\n"
    done = arena.inside("cat .env; true")
    assert TOKEN not in done.out
    assert any(".env" in denial for denial in done.denials)
    rows = {row["name"]: row for row in arena.ledger(done.report["run"])["guarantees"]}
    assert rows["names that the host replaces"]["state"] == "weaker"
