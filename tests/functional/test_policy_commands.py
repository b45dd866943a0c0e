"""What `replicante policy` prints, and with which code it ends (policy-language §14)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

COMMAND = [sys.executable, "-P", "-c", "from replicante.cli.app import main; main()", "policy"]
HUGE = "language 1\npolicy huge { accept weaker memory, freeze, read-events resources { memory 1024TiB } }\n"


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


def test_lint_ends_with_one_if_there_is_something_to_tell(tmp_path: Path) -> None:
    file = tmp_path / "twice.policy"
    file.write_text(
        'language 1\npolicy twice { filesystem { allow read "/srv/**" as all allow read "/srv/a" as a } }\n'
    )
    told = policy(tmp_path, "lint", str(file))
    assert told.returncode == 1
    assert told.stderr.startswith(f"{file}:2:57: warning[W120]: all of this stands in `twice/all` already\n")
    assert told.stdout == "twice: 1 finding\n"
    as_json = policy(tmp_path, "lint", str(file), "--json")
    answer = json.loads(as_json.stdout)
    assert as_json.returncode == 1
    assert (answer["ok"], [one["code"] for one in answer["diagnostics"]]) == (False, ["W120"])


def test_lint_says_the_same_wherever_it_is_asked(tmp_path: Path) -> None:
    # `tmp_path` lies in `/tmp`: bound to this directory, one rule of strict would say what another says.
    told = policy(tmp_path, "lint", "strict")
    assert (told.returncode, told.stdout, told.stderr) == (0, "strict: nothing to tell\n", "")


def test_lint_of_a_policy_with_errors_ends_as_check_does(tmp_path: Path) -> None:
    file = tmp_path / "wrong.policy"
    file.write_text("language 1\npolicy wrong extends nobody {}\n")
    assert policy(tmp_path, "lint", str(file)).returncode == 2
    assert policy(tmp_path, "lint", str(tmp_path / "absent.policy")).returncode == 2
