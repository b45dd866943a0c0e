"""The README's example policy runs as it stands there, and not without the line that the README explains."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-P", "-c", "from replicante.cli.app import main; main()"]
README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
ACCEPTS = re.compile(r"^  accept weaker late-names.*\n", re.MULTILINE)


@pytest.fixture
def example() -> str:
    [text] = re.findall(r"^```policy\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    assert isinstance(text, str)
    return text


def run(directory: Path, policy: str) -> subprocess.CompletedProcess[str]:
    workspace = directory / "workspace"
    workspace.mkdir()
    (workspace / "customers.csv").write_text("ada")
    (workspace / "notes.txt").write_text("open")
    # Outside of the workspace: a policy of the caller's own, not a proposal of the repository.
    file = directory / "my-agent.policy"
    file.write_text(policy)
    return subprocess.run(
        [*COMMAND, "run", "--policy", str(file), "--", "cat", "notes.txt", "customers.csv"],
        cwd=workspace,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_runs_and_the_denial_names_its_rule(tmp_path: Path, example: str) -> None:
    done = run(tmp_path, example)
    assert done.stdout == "open"
    assert done.returncode == 1
    assert "my-agent/customers" in done.stderr


def test_without_its_acceptance_nothing_is_run(tmp_path: Path, example: str) -> None:
    refused, lines = ACCEPTS.subn("", example)
    assert lines == 1
    done = run(tmp_path, refused)
    assert done.returncode == 125
    assert done.stdout == ""
    assert "late-names" in done.stderr
