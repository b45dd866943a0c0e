"""The launch description, and the directories that a run needs."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path

import pytest

from replicante.errors import LaunchError
from replicante.sandbox import state as state_module
from replicante.sandbox.bindings import VARIABLES, default_bindings, resolve_workspace
from replicante.sandbox.launch import Launch, Options, description_fd, prepare
from replicante.sandbox.retention import remove_old_runs


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    path = tmp_path / "state"
    monkeypatch.setattr(state_module, "state_path", lambda: str(path))
    return state_module.open_state()


@pytest.fixture
def workspace(tmp_path: Path) -> str:
    (tmp_path / 'w "ö"').mkdir()
    return str(tmp_path / 'w "ö"')


def description_of(launch: Launch) -> bytes:
    return launch.description.partition(b"\0")[0]


def test_the_description_is_what_the_contract_says(state: str, workspace: str) -> None:
    bindings = default_bindings(workspace, state_module.new_run_id())
    launch = prepare(
        ["sh", "-c", 'echo "\\\n\u2028ä"'], b"packed\0form", bindings, state, Options(explain=True)
    )
    described = json.loads(description_of(launch))
    assert described["protocol"] == 2
    assert launch.description.partition(b"\0")[2] == b"packed\0form"
    assert described["argv"] == ["sh", "-c", 'echo "\\\n\u2028ä"']
    assert described["cwd"] == workspace
    assert tuple(described["bindings"]) == VARIABLES
    assert described["bindings"]["workspace"] == workspace
    assert described["run"] == described["bindings"]["run"] == launch.run
    assert state in described["beneath"]
    assert (described["no_weaker"], described["explain"], described["report"]) == (False, True, "text")
    for name in ("run_dir", "private_home", "cache"):
        assert stat.S_IMODE(os.stat(described[name]).st_mode) == 0o700
    assert not os.listdir(described["run_dir"])


def test_own_code_is_read_only_and_no_tree_twice(state: str, workspace: str) -> None:
    launch = prepare(["x"], b"{}", default_bindings(workspace, state_module.new_run_id()), state, Options())
    trees: list[str] = json.loads(description_of(launch))["read_only"]
    assert any(Path(__import__("replicante").__file__).is_relative_to(tree) for tree in trees)
    assert not [(a, b) for a in trees for b in trees if a != b and Path(a).is_relative_to(b)]


def test_a_workspace_that_python_imports_from_is_refused(
    state: str, workspace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path, workspace])
    with pytest.raises(LaunchError) as refused:
        prepare(["x"], b"{}", default_bindings(workspace, state_module.new_run_id()), state, Options())
    assert refused.value.code == "L025"


def test_the_working_directory_is_kept_inside_the_workspace(
    state: str, workspace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    below = Path(workspace) / "below"
    below.mkdir()
    monkeypatch.chdir(below)
    launch = prepare(["x"], b"{}", default_bindings(workspace, state_module.new_run_id()), state, Options())
    assert json.loads(description_of(launch))["cwd"] == str(below)


def test_an_argument_that_is_not_utf8_is_refused(state: str, workspace: str) -> None:
    with pytest.raises(LaunchError) as refused:
        prepare(["x", "\udcff"], b"{}", default_bindings(workspace, "run-1"), state, Options())
    assert refused.value.code == "L023"


def test_the_shim_reads_the_description_from_its_start(state: str, workspace: str) -> None:
    launch = prepare(["x"], b"{}", default_bindings(workspace, state_module.new_run_id()), state, Options())
    descriptor = description_fd(launch, inheritable=False)
    with os.fdopen(descriptor, "rb") as file:
        assert file.read() == launch.description
    descriptor = description_fd(launch, inheritable=False)
    assert not os.get_inheritable(descriptor)
    os.close(descriptor)


@pytest.mark.parametrize("wrong", ["mode", "link", "file"])
def test_a_state_directory_that_others_can_change_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    path = tmp_path / "state"
    if wrong == "mode":
        path.mkdir(mode=0o700)
        path.chmod(0o770)
    elif wrong == "link":
        (tmp_path / "real").mkdir(mode=0o700)
        path.symlink_to(tmp_path / "real")
    else:
        path.write_text("")
    monkeypatch.setattr(state_module, "state_path", lambda: str(path))
    with pytest.raises(LaunchError) as refused:
        state_module.open_state()
    assert refused.value.code == "L021"


def test_root_never_looks_at_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/somewhere")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert state_module.state_path() == state_module.ROOT_STATE
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    assert state_module.state_path() == "/somewhere/replicante"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("shell", "x"),
        ("agent", ".."),
        ("agent", "a/b"),
        ("agent", ""),
        ("home", "x"),
        ("tmp", "/a/../b"),
        ("tmp", "//a"),
    ],
)
def test_a_value_that_a_variable_cannot_have_is_refused(name: str, value: str) -> None:
    with pytest.raises(LaunchError) as refused:
        default_bindings("/w", "run-1", {name: value})
    assert refused.value.code == "L023"


def test_the_workspace_is_the_top_of_the_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "r" / ".git").mkdir(parents=True)
    (tmp_path / "r" / "a").mkdir()
    monkeypatch.chdir(tmp_path / "r" / "a")
    assert resolve_workspace(None) == str(tmp_path / "r")
    assert resolve_workspace(".") == str(tmp_path / "r" / "a")
    with pytest.raises(LaunchError):
        resolve_workspace("absent")


def test_old_and_large_runs_go_and_running_ones_stay(tmp_path: Path) -> None:
    for name, age, finished in (("a", 100, True), ("b", 5, True), ("c", 3, True), ("d", 1, False)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "journal").write_bytes(b"x" * 8192)
        if finished:
            (tmp_path / name / "exit.json").write_text("{}")
            os.utime(tmp_path / name / "exit.json", (1000 - age, 1000 - age))
    assert remove_old_runs(str(tmp_path), 1000, 50, 1 << 20) == ["a"]
    assert remove_old_runs(str(tmp_path), 1000, 50, 16_384) == ["b"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c", "d"]
