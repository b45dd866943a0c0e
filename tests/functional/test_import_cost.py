"""A plain `run` imports nothing that it does not need: neither option parser, grammar nor model."""

from __future__ import annotations

import subprocess
import sys

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


SCRIPT = """
import sys
before = set(sys.modules)
sys.path[:] = sys.argv[1:]
import replicante.cli.app
import replicante.cli.run
print(*(set(sys.modules) - before))
"""
