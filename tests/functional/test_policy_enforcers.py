"""`policy check --host`, `--assume`, `policy show --enforcers`: what the launcher itself says of a policy."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest

from replicante.sandbox.state import state_path

COMMAND = [sys.executable, "-P", "-c", "from replicante.cli.app import main; main()"]

STAND_INS = "accept weaker memory, processes, cpu, freeze, read-events"
RUNS = 'filesystem { allow read, execute "/**" } syscalls { allow @standard }'

# Name, policy: what a run says of each and what `check --host` says must be the same.
POLICIES = [
    ("a plain child", "policy p extends moderate {}"),
    ("a child of the floor", f"policy p extends baseline {{ {STAND_INS} {RUNS} }}"),
    ("no stand-ins", f"policy p {{ {RUNS} }}"),
    ("a limit without stand-in", f"policy p {{ {STAND_INS} {RUNS} resources {{ io-read 1MiB/s }} }}"),
    ("a limit with stand-in", f"policy p {{ {STAND_INS}, io {RUNS} resources {{ io-read 1MiB/s }} }}"),
    ("tools", 'policy p extends moderate { mcp { allow call "g:*" as tools } }'),
    ("a secret", "policy p extends moderate { environment { secret T from env T reveal } }"),
    ("an alert", "policy p extends moderate { alert a severity low when denied.any then notify }"),
    ("a tripwire", 'policy p extends moderate { tripwire t at "/srv/honey" then notify }'),
    ("a later name", 'policy p extends moderate { filesystem { deny read "/**/later.csv" as later } }'),
    (
        "a later name, accepted",
        "policy p extends moderate { accept weaker late-names "
        'filesystem { deny read "/**/later.csv" as later } }',
    ),
    ("many ports", f"policy p {{ {STAND_INS} {RUNS} network {{ allow listen port 1024..60000 }} }}"),
]


def replicante(workspace: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=workspace,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    path = tmp_path / "workspace"
    path.mkdir()
    return path


def written(tmp_path: Path, text: str) -> str:
    file = tmp_path / "case.policy"
    file.write_text(f"language 1\n{text}\n")
    return str(file)


def answer(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert "Traceback" not in done.stderr
    return cast("dict[str, Any]", json.loads(done.stdout))


@pytest.mark.parametrize("text", [case[1] for case in POLICIES], ids=[case[0] for case in POLICIES])
def test_check_says_what_a_run_would_do(workspace: Path, tmp_path: Path, text: str) -> None:
    file = written(tmp_path, text)
    ran = replicante(workspace, "run", "--policy", file, "--", "true")
    asked = replicante(workspace, "policy", "check", file, "--host", "--json")
    found = [one for one in answer(asked)["diagnostics"] if one["severity"] == "error"]
    if "[L010]" in ran.stderr or "[L011]" in ran.stderr:
        assert (ran.returncode, asked.returncode) == (125, 2)
        assert [one["code"] for one in found] == ["P060"]
        assert found[0]["message"] in ran.stderr
        assert found[0]["fix"] in ran.stderr
    else:
        assert (ran.returncode in (0, 127), asked.returncode, found) == (True, 0, [])


def test_a_refused_rule_is_told_at_its_place(workspace: Path, tmp_path: Path) -> None:
    file = written(tmp_path, 'policy p extends moderate {\n  mcp { allow call "g:*" as tools }\n}')
    asked = replicante(workspace, "policy", "check", file, "--host")
    assert asked.returncode == 2
    assert asked.stderr.startswith(f"{file}:3:9: error[P060]: rule p/tools ")
    shown = replicante(workspace, "policy", "show", file, "--enforcers")
    assert (shown.returncode, shown.stdout) == (2, "")
    assert "error[P060]: rule p/tools " in shown.stderr


def test_asking_executes_nothing_and_leaves_no_run(workspace: Path, tmp_path: Path) -> None:
    runs = Path(state_path()) / "runs"
    ran = replicante(workspace, "run", "--policy", "permissive", "--json", "--", "true")
    mine = json.loads(ran.stderr.splitlines()[-1])["run"]
    # Programs of this name come first along PATH inside, and would leave a file in the workspace.
    program = workspace / "true"
    program.write_text("#!/bin/sh\ntouch started\n")
    program.chmod(0o755)
    before = {path.name for path in runs.iterdir()}
    assert mine in before
    asked = replicante(workspace, "policy", "check", "permissive", "--host", "--json")
    assert answer(asked)["ok"]
    assert not (workspace / "started").exists()
    assert mine in {path.name for path in runs.iterdir()}
    assert all(
        (path / "journal").is_dir() for path in runs.iterdir() if path.name not in before and path.is_dir()
    )


def test_every_rule_of_the_policies_that_ship_is_listed_with_its_enforcers(workspace: Path) -> None:
    for name in ("strict", "moderate", "permissive"):
        shown = answer(replicante(workspace, "policy", "show", name, "--enforcers", "--json"))
        ran = replicante(workspace, "run", "--policy", name, "--json", "--", "true")
        run = json.loads(ran.stderr.splitlines()[-1])["run"]
        events = replicante(workspace, "events", run, "--json")
        ledger = json.loads(events.stdout.splitlines()[0])["guarantees"]
        assert shown["ledger"] == [{key: row[key] for key in ("name", "state", "by")} for row in ledger]
        rows = {row["statement"]: row for row in shown["statements"]}
        model = answer(replicante(workspace, "policy", "show", name, "--json"))["policy"]
        ids = {rule["id"] for rule in (*model["rules"], *model["syscalls"])}
        assert ids <= rows.keys()
        assert not [rule for rule in ids if rows[rule]["degree"] == "nothing"]


def test_what_is_not_in_force_is_said_of_each_rule_that_needs_it(workspace: Path) -> None:
    shown = answer(replicante(workspace, "policy", "show", "permissive", "--enforcers", "--json"))
    pending = {row["name"] for row in shown["ledger"] if row["state"] == "pending"}
    for row in shown["statements"]:
        if {promise["name"] for promise in row["by"]} & pending:
            assert row["degree"] == "pending", row
    rows = {row["statement"]: row for row in shown["statements"]}
    assert rows["permissive/everything"]["degree"] == "held"
    assert {"MCP rules"} == {promise["name"] for promise in rows["permissive/tools"]["by"]}
    # Nothing counts what a run writes in all: that is said, too.
    assert rows["filesystem limit max-total"]["degree"] == "nothing"


def test_what_doctor_says_of_a_machine_is_enough_to_judge_a_policy_elsewhere(
    workspace: Path, tmp_path: Path
) -> None:
    machine = answer(replicante(workspace, "doctor", "--json"))
    rows = {row["name"]: row for row in machine["guarantees"]}
    rows["landlock"] |= {"degree": "not held", "found": "switched off"}
    there = tmp_path / "there.json"
    there.write_text(json.dumps(machine))
    file = written(tmp_path, f"policy p {{ {STAND_INS} }}")
    done = replicante(workspace, "policy", "check", file, "--assume", str(there), "--json")
    found = answer(done)["diagnostics"]
    assert done.returncode == 2
    assert [one["code"] for one in found] == ["P060"]
    assert "`landlock` is missing (switched off)" in found[0]["message"]
    file = written(tmp_path, f"policy p {{ {STAND_INS}, landlock }}")
    assert replicante(workspace, "policy", "check", file, "--assume", str(there)).returncode == 0


def test_a_described_machine_must_be_a_description(workspace: Path, tmp_path: Path) -> None:
    there = tmp_path / "there.json"
    there.write_text("[]")
    done = replicante(workspace, "policy", "check", "moderate", "--assume", str(there))
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (4, "", 1)
    assert "says nothing of namespaces" in done.stderr
    assert "replicante doctor --json" in done.stderr


def test_two_machines_at_once_are_wrong_usage(workspace: Path, tmp_path: Path) -> None:
    done = replicante(workspace, "policy", "check", "moderate", "--host", "--assume", "there.json")
    assert (done.returncode, done.stderr.count("\n")) == (4, 1)
    absent = replicante(workspace, "policy", "check", "moderate", "--assume", "there.json")
    assert (absent.returncode, absent.stderr.count("\n")) == (4, 1)


def test_a_workspace_that_a_configuration_names_and_that_is_not_there(
    workspace: Path, tmp_path: Path
) -> None:
    root = tmp_path / "data"
    file = tmp_path / "sandbox.toml"
    file.write_text(f'[sandbox]\nmode = "moderate"\n[sandbox.filesystem]\nroot = "{root}"\n')
    commands = (
        ("run", "--policy", str(file), "--", "true"),
        ("policy", "check", str(file), "--host"),
        ("policy", "show", str(file), "--enforcers"),
    )
    # A private directory stands for it, and whoever asks the launcher is told.
    for command in commands:
        done = replicante(workspace, *command)
        assert done.returncode == 0, done.stderr
        assert f"replicante: there is no {root} here; " in done.stderr
    root.write_text("")
    for command, code in zip(commands, (125, 4, 4), strict=True):
        done = replicante(workspace, *command)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (code, "", 1)
        assert f"[L022] `filesystem` of the configuration names `{root}` as the workspace" in done.stderr
    # Without a run the file is as good as any, and with the directory it runs.
    assert replicante(workspace, "policy", "check", str(file)).returncode == 0
    root.unlink()
    root.mkdir()
    for command in commands:
        assert replicante(workspace, *command).returncode == 0
