"""`replicante run` on real programs: what they see, what they change, how they end."""

from __future__ import annotations

import json
import os
import pty
import select
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-P", "-c", "from replicante.cli.app import main; main()"]


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    path = tmp_path / "workspace"
    path.mkdir()
    return path


def run(workspace: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, "run", *arguments],
        cwd=workspace,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("mode", ["strict", "moderate", "permissive"])
def test_a_denied_read_is_shown_with_its_rule_in_every_mode(workspace: Path, mode: str) -> None:
    (workspace / ".env").write_text("KEY=secret")
    (workspace / "notes.txt").write_text("open")
    done = run(workspace, "--policy", mode, "--", "sh", "-c", "cat notes.txt .env")
    assert done.stdout == "open"
    assert "read " + str(workspace / ".env") in done.stderr
    assert "rule baseline/secret-files (baseline.policy:" in done.stderr
    assert 'override allow read "${workspace}/.env"' in done.stderr
    # Plainly the same program reads it.
    assert subprocess.run(["cat", ".env"], cwd=workspace, capture_output=True).stdout == b"KEY=secret"


def test_the_report_as_json_is_one_object(workspace: Path) -> None:
    (workspace / ".env").write_text("KEY=secret")
    done = run(workspace, "--json", "--", "sh", "-c", "cat .env 2>/dev/null; exit 7")
    report = json.loads(done.stderr.splitlines()[-1])
    assert done.returncode == 7
    assert [(denial["action"], denial["rule"]) for denial in report["denials"]] == [
        ("read", "baseline/secret-files")
    ]


def test_strict_changes_nothing_and_moderate_changes_the_workspace_alone(workspace: Path) -> None:
    outside = workspace.parent / "outside"
    command = ("sh", "-c", f"echo x > inside; echo x > {outside}")
    run(workspace, "--policy", "strict", "--", *command)
    assert not (workspace / "inside").exists()
    run(workspace, "--policy", "moderate", "--", *command)
    assert (workspace / "inside").read_text() == "x\n"
    assert not outside.exists()
    subprocess.run(command, cwd=workspace, check=True)
    assert outside.exists()


def test_a_rule_on_later_names_is_refused_until_the_policy_accepts_it(
    workspace: Path, tmp_path: Path
) -> None:
    policy = tmp_path / "mine.policy"
    rule = 'filesystem {{ deny any "/**/customers.csv" as own }}'
    text = "language 1\npolicy mine extends moderate {{\n {} " + rule + " }}\n"
    policy.write_text(text.format(""))
    refused = run(workspace, "--policy", str(policy), "--", "touch", "started")
    assert refused.returncode == 125
    assert "rule mine/own" in refused.stderr
    assert "accept weaker late-names" in refused.stderr
    assert not (workspace / "started").exists()
    policy.write_text(text.format("accept weaker late-names"))
    (workspace / "customers.csv").write_text("ada")
    done = run(workspace, "--policy", str(policy), "--", "cat", "customers.csv")
    assert done.returncode == 1
    assert "ada" not in done.stdout
    assert "rule mine/own" in done.stderr


def test_an_older_configuration_runs_in_the_directory_that_it_names(tmp_path: Path) -> None:
    root = tmp_path / "data"
    (root / "work").mkdir(parents=True)
    (root / "reference").mkdir()
    config = tmp_path / "sandbox.toml"
    config.write_text(
        "[sandbox]\nenabled = true\nmode = 'moderate'\n[sandbox.filesystem]\n"
        f"root = '{root}'\nwrite_paths = ['{root}/work']\nread_only_paths = ['{root}/reference']\n"
    )
    # The configuration is the operator's own: it does not lie in the directory that the run starts from.
    here = tmp_path / "here"
    here.mkdir()
    done = run(here, "--policy", str(config), "--", "sh", "-c", "pwd; touch made; touch ../reference/made")
    assert done.stdout.strip() == str(root / "work"), done.stderr
    assert (root / "work" / "made").exists()
    assert not (root / "reference" / "made").exists()
    (root / "work" / "made").unlink()
    (root / "work").rmdir()
    # Without the directory a private one stands for it, and keeps what is made there from run to run.
    script = "pwd; cat made 2>/dev/null; echo kept >made"
    first = run(here, "--policy", str(config), "--", "sh", "-c", script)
    again = run(here, "--policy", str(config), "--", "sh", "-c", script)
    assert first.stdout.split() == [str(root / "work")], first.stderr
    assert again.stdout.split() == [str(root / "work"), "kept"]
    assert f"there is no {root / 'work'} here; " in again.stderr
    assert not (root / "work").exists()
    (root / "work").write_text("")
    wrong = run(here, "--policy", str(config), "--", "true")
    assert wrong.returncode == 125
    assert "[L022]" in wrong.stderr


PLAIN_POLICY = """language 1
policy plain {
  accept weaker read-events, freeze
  filesystem {
    allow read, execute "/usr/**", "/bin/**", "/lib/**", "/lib64/**"
    allow read "/etc/ld.so.cache", "/proc/**"
    allow read, write, create, delete, execute "${workspace}/**"
  }
}
"""


def test_a_socket_of_the_host_is_covered_though_no_pattern_has_a_wildcard(workspace: Path) -> None:
    policy = workspace.parent / "plain.policy"
    policy.write_text(PLAIN_POLICY)
    program = "import socket; socket.socket(socket.AF_UNIX).connect('service.sock'); print('connected')"
    command = ["/usr/bin/python3", "-c", program]
    before = os.getcwd()
    os.chdir(workspace)  # the address of a socket holds 107 bytes
    try:
        with socket.socket(socket.AF_UNIX) as service:
            service.bind("service.sock")
            service.listen()
            (workspace / "service.sock").chmod(0o777)
            plain = subprocess.run(command, cwd=workspace, capture_output=True, text=True)
            assert plain.stdout == "connected\n"
            inside = run(workspace, "--policy", str(policy), "--", *command)
    finally:
        os.chdir(before)
    assert "connected" not in inside.stdout
    assert "PermissionError" in inside.stderr or "ConnectionRefusedError" in inside.stderr, inside.stderr


@pytest.mark.parametrize(("script", "code"), [("exit 3", 3), ("kill -TERM $$", 143), ("exit 0", 0)])
def test_the_programs_own_code_is_passed_on(workspace: Path, script: str, code: int) -> None:
    assert run(workspace, "--", "sh", "-c", script).returncode == code


def test_a_program_that_is_not_there_is_127_and_one_that_may_not_run_126(workspace: Path) -> None:
    (workspace / "data.txt").write_text("no program")
    assert run(workspace, "--", "no-such-program").returncode == 127
    assert run(workspace, "--", "./data.txt").returncode == 126


class Terminal:
    """A shell on a terminal of its own, as a person has it."""

    def __init__(self, workspace: Path) -> None:
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(workspace)
            os.environ["PS1"] = "ready> "
            os.execvp("bash", ["bash", "--norc", "--noprofile", "-i"])  # noqa: S606 - the shell is what is tested
        self.seen = ""

    def type(self, text: str) -> None:
        os.write(self.fd, text.encode())

    def wait_for(self, text: str, seconds: float = 30) -> None:
        """Reads until `text` appears after what was waited for before."""
        deadline = time.monotonic() + seconds
        while text not in self.seen:
            readable, _, _ = select.select([self.fd], [], [], max(0, deadline - time.monotonic()))
            assert readable, f"{text!r} did not come; seen: {self.seen!r}"
            self.seen += os.read(self.fd, 4096).decode(errors="replace")
        self.seen = self.seen.partition(text)[2]

    def close(self) -> None:
        os.close(self.fd)
        os.waitpid(self.pid, 0)


def test_on_a_terminal_a_run_can_be_typed_to_stopped_continued_and_interrupted(workspace: Path) -> None:
    terminal = Terminal(workspace)
    replicante = " ".join(f"'{word}'" for word in COMMAND)
    try:
        terminal.wait_for("ready> ")
        terminal.type(f"{replicante} run -- sh -c 'test -t 0 && echo has-one; read x; echo got-$x'\n")
        terminal.wait_for("has-one\r\n")
        terminal.type("\x1a")
        terminal.wait_for("Stopped")
        terminal.type("fg\n")
        terminal.wait_for("fg\r\n")
        terminal.type("hello\r")
        terminal.wait_for("got-hello")
        terminal.wait_for("ready> ")
        # Not a shell: dash waits for a child that it is just starting, whatever it is sent meanwhile.
        program = "import time; print(6 * 7, flush=True); time.sleep(100)"
        terminal.type(f"{replicante} run -- python3 -c '{program}'; echo code-$?\n")
        terminal.wait_for("42\r")
        terminal.type("\x03")
        terminal.wait_for("code-130")
        # The caller's terminal has its modes back.
        terminal.type("stty -a | grep -o ' icanon'\n")
        terminal.wait_for("\r icanon")
    finally:
        terminal.close()


def test_a_denied_name_that_the_hosts_modes_shut_anyway_stops_no_run(tmp_path: Path) -> None:
    """To the agent of root, who is another user, a directory of mode 0700 is shut."""
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o700)
    (locked / "secret").write_text("token")
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    policy = tmp_path / "own.policy"
    policy.write_text(
        PLAIN_POLICY.replace(
            "  filesystem {\n",
            "  accept weaker memory, processes, cpu, io\n  filesystem {\n"
            f'    allow read "{tmp_path}/**"\n    deny any "{locked}/secret" as secret\n',
        )
    )
    done = run(workspace, "--policy", str(policy), "--", "cat", str(locked / "secret"))
    assert done.returncode == 1
    assert "error[" not in done.stderr
    assert done.stdout == ""
    assert (locked / "secret").read_text() == "token"


def test_a_plan_says_what_would_be_set_up_and_runs_nothing(tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    done = run(workspace, "--policy", "strict", "--plan", "--", "touch", "made")
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)
    assert plan["policy"] == "strict"
    assert plan["argv"] == ["touch", "made"]
    shown = {item["path"]: item["node"] for item in plan["files"]["items"]}
    assert shown[str(workspace)]["is"] == "bind"
    assert shown[str(workspace)]["rights"] == ["read"]  # what strict holds back is denied so far
    assert "ptrace" not in plan["system_calls"]["allowed"]
    assert "read" in plan["system_calls"]["allowed"]
    assert not (workspace / "made").exists()
    refused = run(workspace, "--policy", "strict", "--no-weaker", "--plan", "--", "true")
    assert refused.returncode == 125
    assert refused.stdout == ""
