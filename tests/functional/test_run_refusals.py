"""Where `replicante run` refuses: one clear line, the documented exit code, nothing run."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-P", "-c", "from replicante.cli.app import main; main()"]
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    path = tmp_path / "workspace"
    path.mkdir()
    return path


@pytest.fixture
def run(workspace: Path) -> Run:
    """Runs the command line in the workspace; a program that it starts would leave the file `started`."""

    def run(*arguments: str, cwd: Path = workspace) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*COMMAND, *arguments],
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert "Traceback" not in done.stderr
        assert not (workspace / "started").exists()
        return done

    return run


TOUCH = ("--", "touch", "started")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--polcy", "strict"), "no option `--polcy`"),
        (("--workspace", "absent"), "[L022] the workspace `absent` can't be used"),
        (("--set", "shell=x"), "[L023] `--set shell=…`: there is no variable `shell`"),
        (("--set", "agent=a/b"), "[L023]"),
    ],
)
def test_wrong_words_are_refused_in_one_line(run: Run, arguments: tuple[str, ...], message: str) -> None:
    done = run("run", *arguments, *TOUCH)
    assert done.returncode == 125
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_without_a_command_nothing_is_run(run: Run) -> None:
    done = run("run", "--policy", "strict")
    assert (done.returncode, done.stderr.count("\n")) == (125, 1)


def test_help_and_version_go_to_standard_output(run: Run) -> None:
    done = run("run", "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Examples:" in done.stdout
    assert run("--version").stdout.startswith("replicante 0.")


@pytest.mark.parametrize("command", ["sandbox", "policy", "doctor", "events"])
def test_every_command_has_help_with_examples(run: Run, command: str) -> None:
    done = run(command, "--help")
    assert done.returncode == 0
    assert "Examples:" in done.stdout or command == "policy"


def test_wrong_usage_of_other_commands_ends_with_4(run: Run) -> None:
    done = run("doctor", "--jsno")
    assert (done.returncode, done.stdout) == (4, "")
    assert "--jsno" in done.stderr
    assert run("dcotor").returncode == 4


def test_a_policy_with_errors_is_refused(run: Run, tmp_path: Path) -> None:
    policy = tmp_path / "broken.policy"
    policy.write_text('language 1\n\npolicy x {\n  network { allow connect "a.example" }\n}\n')
    done = run("run", "--policy", str(policy), *TOUCH)
    assert done.returncode == 122
    assert "broken.policy:4:" in done.stderr
    assert "P039" in done.stderr


def test_a_limit_that_nothing_enforces_is_refused_until_it_is_accepted(run: Run, tmp_path: Path) -> None:
    policy = tmp_path / "slow.policy"
    text = """language 1
policy slow {
  accept weaker memory, processes, cpu, freeze, read-events
  filesystem { allow read, execute "/**" }
  syscalls { allow @standard }
  resources { io-read 1MiB/s }
}
"""
    policy.write_text(text)
    done = run("run", "--policy", str(policy), "--", "true")
    assert done.returncode == 125
    assert "[L011]" in done.stderr
    assert "`accept weaker io`" in done.stderr
    policy.write_text(text.replace("cpu,", "cpu, io,"))
    assert run("run", "--policy", str(policy), "--", "true").returncode == 0


@pytest.mark.parametrize("kind", ["fifo", "link", "directory"])
def test_a_policy_that_is_no_plain_file_is_refused(run: Run, workspace: Path, kind: str) -> None:
    path = workspace / ".policy"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "link":
        path.symlink_to("/etc/passwd")
    else:
        path.mkdir()
    done = run("run", *TOUCH)
    assert done.returncode == 125
    assert "[L024]" in done.stderr


def test_a_wider_policy_of_the_repository_needs_a_person(run: Run, workspace: Path) -> None:
    (workspace / ".git").mkdir()
    (workspace / ".policy").write_text(
        'language 1\n\npolicy wide extends moderate {\n  filesystem { allow read "/srv/**" as srv }\n}\n'
    )
    done = run("run", *TOUCH)
    assert done.returncode == 123
    assert "P090" in done.stderr
    assert run("run", "--policy", "./.policy", *TOUCH).returncode == 123


def test_the_supervisor_is_refused_in_one_line(run: Run) -> None:
    done = run("sandbox", "--supervisor", "http://127.0.0.1:8080")
    assert (done.returncode, done.stderr.count("\n")) == (125, 1)


def test_a_damaged_agent_toml_is_refused(run: Run, workspace: Path) -> None:
    (workspace / "agent.toml").write_text('comand = ["touch", "started"]\n')
    done = run("sandbox", "--config", "agent.toml")
    assert done.returncode == 122
    assert "did you mean `command`?" in done.stderr or "`command`" in done.stderr


def test_a_workspace_around_the_home_is_refused_whether_or_not_the_policy_is_kept(
    run: Run, workspace: Path
) -> None:
    home = pwd.getpwuid(os.getuid()).pw_dir  # never `$HOME`, which whoever starts us may have set
    kept = run("run", "--workspace", str(workspace), "--", "true")
    assert kept.returncode == 0
    for _ in range(2):
        done = run("run", "--workspace", os.path.dirname(home), *TOUCH)
        assert done.returncode == 122
        assert "error[P041]" in done.stderr
        assert "contains the home directory" in done.stderr


def test_a_kept_policy_whose_tests_fail_in_another_workspace_is_refused_there(
    run: Run, tmp_path: Path
) -> None:
    policy = tmp_path / "own.policy"
    policy.write_text(
        "language 1\npolicy own extends moderate {\n"
        "    accept weaker late-names\n"
        f'    filesystem {{ deny write "{tmp_path}/other/**" as closed }}\n'
        '    test "work" { expect allow write "${workspace}/a" }\n}\n'
    )
    (tmp_path / "other").mkdir()
    good = run("run", "--policy", str(policy), "--", "true")
    assert good.returncode == 0, good.stderr
    done = run("run", "--policy", str(policy), "--workspace", str(tmp_path / "other"), *TOUCH)
    assert done.returncode == 122
    assert "error[P070]: not started: test `work` of the policy" in done.stderr
    assert "expects allow of write" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "other" / "started").exists()


def test_a_limit_of_an_own_rule_that_nothing_enforces_is_refused(run: Run, tmp_path: Path) -> None:
    policy = tmp_path / "own.policy"
    policy.write_text(
        "language 1\npolicy own extends moderate {\n"
        '    filesystem { allow write, create "/srv/none/**" max-files 3 as inbox }\n}\n'
    )
    done = run("run", "--policy", str(policy), *TOUCH)
    assert done.returncode == 125
    assert f"rule own/inbox ({policy}:3:18): no limit of a rule on files is enforced yet" in done.stderr
    assert done.stderr.count("\n") == 1
