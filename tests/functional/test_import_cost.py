"""A plain `run` imports nothing that it does not need: neither option parser, grammar nor model."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HEAVY = {
    "typer",
    "click",
    "rich",
    "lark",
    "pydantic",
    "typing",
    "re",
    "json",
    "dataclasses",
    "pathlib",
    "argparse",
    "subprocess",
    "hashlib",
    "logging",
    "inspect",
}


def test_the_way_of_a_plain_run_is_light() -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", SCRIPT, *sys.path], capture_output=True, text=True, check=True
    )
    assert set(done.stdout.split()) & HEAVY == set()


def test_a_new_workspace_compiles_no_policy_again(tmp_path: Path) -> None:
    """A compiled policy is kept with its variables open."""
    policy = tmp_path / "own.policy"
    policy.write_text("language 1\npolicy own extends ci { }\n")
    imported: list[set[str]] = []
    for name in ("one", "other"):
        workspace = tmp_path / name
        workspace.mkdir()
        done = subprocess.run(
            [sys.executable, "-P", "-X", "importtime", "-c", START, str(policy), str(workspace)],
            capture_output=True,
            text=True,
            check=True,
        )
        assert (workspace / "made").exists()
        imported.append({line.rpartition("|")[2].strip() for line in done.stderr.splitlines()})
    assert "lark" in imported[0]
    assert imported[1] & {"lark", "pydantic"} == set()


START = """
import sys
from replicante.cli.app import main
sys.argv[1:] = ["run", "--policy", sys.argv[1], "--workspace", sys.argv[2], "--", "touch", "made"]
main()
"""

SCRIPT = """
import sys
before = set(sys.modules)
sys.path[:] = sys.argv[1:]
import replicante.cli.app
import replicante.cli.run
print(*(set(sys.modules) - before))
"""
