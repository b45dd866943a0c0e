"""Runs that can't be written down or whose time is spent: the documented code, one line, nothing more run."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from replicante.events.journal import Journal

if TYPE_CHECKING:
    from tests.conftest import Account

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk here")
COMMAND = (sys.executable, "-P", "-c", "from replicante.cli.app import main; main()")
DEADLINE_S = 60

# A disk of its own as the state directory, which starts with what a first run leaves there; then the command.
# $1: the directory, $2: options of the disk, $3: KiB of space beside the journal's reserve, or nothing.
SMALL_DISK = """
set -e
mount --make-rprivate /
mount -t tmpfs -o size=64m state "$1"; chmod 700 "$1"; chown "$OWNER" "$1"; mount -o "remount,$2" "$1"
spare=$3; disk=$1; shift 3
if [ -n "$spare" ]; then
  eval "$WARM" >&2
  mount -o "remount,size=$(($(df -k --output=used "$disk" | tail -1) + 2048 + spare))k" "$disk"
fi
code=0; "$@" || code=$?
[ ! -d "$disk/replicante" ] || disk=$disk/replicante
cp -r "$disk/runs" "$KEEP" 2>/dev/null || true
exit $code
"""

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def workspace(account: Account, ground: Path) -> Iterator[Path]:
    base = Path(tempfile.mkdtemp(dir=ground))
    base.chmod(0o755)
    for path in (base / "ws", base / "home", base / "state"):
        path.mkdir()
        os.chown(path, account.uid, account.gid)
    yield base / "ws"
    shutil.rmtree(base)


@pytest.fixture
def on_small_disk(account: Account, workspace: Path) -> Run:
    """Runs a program inside while the state directory is a small disk; its runs are kept in `kept`."""
    base = workspace.parent

    def run(options: str, spare: str, *argv: str) -> subprocess.CompletedProcess[str]:
        state = "/var/lib/replicante" if account.uid == 0 else str(base / "state")
        Path(state).mkdir(mode=0o700, exist_ok=True)
        ours = [*account.prefix, *COMMAND, "run", "--policy", "moderate", "--workspace", str(workspace), "--"]
        disk = ("unshare", "-m", "sh", "-c", SMALL_DISK, "disk")
        return subprocess.run(
            [*account.reach, *disk, state, options, spare, *ours, *argv],
            cwd=workspace,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(base / "home"),
                "XDG_STATE_HOME": str(base / "state"),
                "PYTHONDONTWRITEBYTECODE": "1",
                "OWNER": f"{account.uid}:{account.gid}",
                "KEEP": str(base / "kept"),
                "WARM": shlex.join([*ours, "true"]),
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )

    return run


@AS_ROOT
@pytest.mark.parametrize("options", ["size=1m", "size=8k", "nr_inodes=2", "nr_inodes=5", "nr_inodes=9", "ro"])
def test_without_space_for_the_journal_nothing_is_run(
    on_small_disk: Run, workspace: Path, options: str
) -> None:
    done = on_small_disk(options, "", "touch", "started")
    assert done.returncode == 125, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert "[L021]" in done.stderr or "[L012]" in done.stderr
    assert not (workspace / "started").exists()


# Nearly a thousand refused lookups a second, each of a name of its own, until somebody stops it.
FLOOD = """
import time
for number in range(30_000):
    try:
        open(".env/" + "\\1" * 240 + str(number))
    except OSError:
        pass
    if number % 900 == 899:
        time.sleep(1.05)
open("late", "w")
"""


@AS_ROOT
def test_a_run_whose_journal_can_not_be_written_any_more_ends(on_small_disk: Run, workspace: Path) -> None:
    (workspace / ".env").mkdir()
    done = on_small_disk("size=64m", "64", "python3", "-c", FLOOD)
    assert done.returncode == 125, done.stderr
    assert "error[L012]: the journal can't be written: frame: No space left on device" in done.stderr
    assert not (workspace / "late").exists()
    (flooded,) = [path for path in written(workspace) if path.stat().st_size > 1_000_000]
    journal = Journal(flooded)
    events = [json.loads(event.text) for event in journal.read()]
    # All that was written whole is there and verified; more than the reserve was promised.
    assert flooded.stat().st_size >= 2 << 20
    assert [event["s"] for event in events] == list(range(len(events)))
    assert [event["k"] for event in events].count("file.open") > 500


@AS_ROOT
def test_on_a_full_disk_denials_are_written_into_the_reserve(on_small_disk: Run, workspace: Path) -> None:
    (workspace / ".env").mkdir()
    done = on_small_disk("size=64m", "12", "python3", "-c", FLOOD.replace("30_000", "100"))
    assert done.returncode == 0, done.stderr
    assert (workspace / "late").exists()
    last = max(written(workspace), key=lambda path: path.stat().st_size)
    kinds = [json.loads(event.text)["k"] for event in Journal(last).read()]
    assert last.stat().st_size > 100 << 10, "more than the disk had beside the reserve"
    assert (kinds[0], kinds.count("file.open"), kinds[-1]) == ("run.ledger", 100, "run.exit")


@AS_ROOT
@pytest.mark.parametrize("cut", [1, 40, 200])
def test_a_torn_last_frame_is_told_and_the_rest_is_read(
    on_small_disk: Run, workspace: Path, cut: int
) -> None:
    assert on_small_disk("size=64m", "64", "true").returncode == 0
    journal = written(workspace)[-1]
    whole = Journal(journal).read()
    os.truncate(journal, journal.stat().st_size - cut)
    told = subprocess.run([*COMMAND, "events", str(journal)], capture_output=True, text=True, check=False)
    assert "bytes of an unfinished frame at the end" in told.stderr
    assert "run.exit" not in told.stdout
    assert [event.text for event in Journal(journal).read()] == [event.text for event in whole[:-1]]


def written(workspace: Path) -> list[Path]:
    """The journals that were kept of a small disk."""
    return sorted((workspace.parent / "kept").glob("*/journal/00000000.rj"))


@pytest.fixture
def run(account: Account, workspace: Path, state: Path) -> Run:
    """Runs a program inside under moderate with one limit of its own."""

    def run(limit: str, *argv: str) -> subprocess.CompletedProcess[str]:
        policy = workspace.parent / "short.policy"
        policy.write_text(
            f"language 1\n\npolicy short extends moderate {{\n  resources {{ override {limit} }}\n}}\n"
        )
        os.chown(policy, account.uid, account.gid)
        words = ("run", "--policy", str(policy), "--workspace", str(workspace))
        return subprocess.run(
            [*account.reach, *account.prefix, *COMMAND, *words, "--", *argv],
            cwd=workspace,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(workspace.parent / "home"),
                "XDG_STATE_HOME": str(state),
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )

    return run


SPIN = "import time\nend = time.process_time() + {}\nwhile time.process_time() < end:\n    pass\n"


@pytest.mark.parametrize("shape", ["one process", "many processes"])
def test_processor_time_that_is_spent_ends_the_run(run: Run, workspace: Path, shape: str) -> None:
    if shape == "one process":
        argv = ["python3", "-c", SPIN.format(30) + "open('late', 'w')"]
    else:
        argv = ["sh", "-c", f"for i in $(seq 60); do python3 -c '{SPIN.format(0.5)}'; done; touch late"]
    done = run("cpu-time 1s", *argv)
    assert done.returncode == 124, done.stderr
    assert done.stderr.splitlines()[0] == "replicante: cpu-time is spent, the run ends"
    assert not (workspace / "late").exists()
    assert run("cpu-time 1h", *argv[:-1], argv[-1].replace("30", "1.5").replace("60", "3")).returncode == 0
    assert (workspace / "late").exists()


def test_a_run_that_says_nothing_for_its_idle_time_ends(run: Run, workspace: Path) -> None:
    done = run("idle-time 1s", "sh", "-c", "echo begun; sleep 30; touch late")
    assert (done.returncode, done.stdout) == (124, "begun\n")
    assert done.stderr.splitlines()[0] == "replicante: idle-time is spent, the run ends"
    assert not (workspace / "late").exists()


def test_output_beyond_its_limit_is_dropped_and_told_once(run: Run, workspace: Path) -> None:
    program = "for _ in range(30): print('x' * 99_999)\nopen('late', 'w')"
    done = run("output 1MiB", "python3", "-c", program)
    assert done.returncode == 0, done.stderr
    assert (workspace / "late").exists(), "the agent is not held up"
    assert len(done.stdout) == 1 << 20
    told = f"replicante: {3_000_000 - (1 << 20)} bytes of output were dropped (limit `output`)"
    assert done.stderr.splitlines().count(told) == 1


def test_a_run_that_speaks_is_not_idle(run: Run, workspace: Path) -> None:
    """The next word comes within the idle time, all of them take longer than it."""
    done = run("idle-time 3s", "sh", "-c", "for i in 1 2 3 4 5; do echo $i; sleep 1; done; touch late")
    assert done.returncode == 0, done.stderr
    assert (workspace / "late").exists()
