"""`replicante doctor --leftovers` on the machine at hand; what it removes, guests show (tests/kernels)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

COMMAND = [sys.executable, "-P", "-c", "from replicante.cli.app import main; main()", "doctor", "--leftovers"]


def groups() -> list[str]:
    """All control groups of version 2, but those of runs."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    mounts = {line.split()[4] for line in lines if " - cgroup2 " in line}
    found = [parent for mount in mounts for parent, _, _ in os.walk(mount)]
    return sorted(path for path in found if "/replicante-" not in path)


def test_what_others_made_stays(tmp_path: Path) -> None:
    before = groups()
    done = subprocess.run([*COMMAND, "--json"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["ok"] is True
    assert all("/replicante-" in path and not Path(path).exists() for path in said["removed"])
    assert groups() == before


def test_it_says_so_when_nothing_was_left(tmp_path: Path) -> None:
    subprocess.run(COMMAND, cwd=tmp_path, capture_output=True, check=True)
    done = subprocess.run(COMMAND, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "nothing was left\n"
