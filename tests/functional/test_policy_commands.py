"""What `replicante policy` prints, and with which code it ends (policy-language §14)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

COMMAND = [sys.executable, "-P", "-c", "from replicante.cli.app import main; main()", "policy"]
HUGE = "language 1\npolicy huge { resources { memory 1024TiB } }\n"


def policy(workspace: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=workspace,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def test_explain_names_the_rule_what_would_allow_and_the_line_that_lifts(tmp_path: Path) -> None:
    done = policy(tmp_path, "explain", "moderate", "read", "${workspace}/.env")
    lines = done.stdout.splitlines()
    assert done.returncode == 1
    assert lines[0].startswith("deny: rule baseline/secret-files  baseline.policy:")
    assert lines[0].endswith("  (S2)")
    # `${tmp}` may hold this workspace, and its rule would allow as well: a name may stand on several lines.
    names = list(dict.fromkeys(line[:16].strip() for line in lines[1:]))
    assert names == ["request", "because", "would allow", "lifted by"]
    assert any("would allow   moderate/workspace  moderate.policy:" in line for line in lines)
    assert lines[-1].endswith('a child policy may write:  override allow read "${workspace}/.env"')


def test_explain_names_the_nearest_allow_and_what_differs(tmp_path: Path) -> None:
    done = policy(tmp_path, "explain", "moderate", "connect", "example.com", "port", "443")
    lines = done.stdout.splitlines()
    assert done.returncode == 1
    assert lines[0] == "deny: no allow rule matches (S1)"
    assert lines[2].startswith("  nearest allow moderate/forges  moderate.policy:")
    assert lines[3].strip() == "host differs: @source-forges does not contain example.com"


def test_explain_decides_a_call_that_is_named_like_a_file_action(tmp_path: Path) -> None:
    done = policy(tmp_path, "explain", "moderate", "syscall", "read")
    assert done.returncode == 0
    assert done.stdout.startswith("allow: ")


def test_check_tells_what_this_machine_has_less_of_when_it_is_asked(tmp_path: Path) -> None:
    file = tmp_path / "huge.policy"
    file.write_text(HUGE)
    plain = policy(tmp_path, "check", str(file), "--json")
    assert plain.returncode == 0
    assert json.loads(plain.stdout)["diagnostics"] == []
    asked = policy(tmp_path, "check", str(file), "--host", "--json")
    assert [one["code"] for one in json.loads(asked.stdout)["diagnostics"]] == ["W130"]
    assert policy(tmp_path, "check", str(file), "--host", "--strict").returncode == 2
