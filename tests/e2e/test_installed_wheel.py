"""The built wheel in a clean environment, as a user meets it: root and not root."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
NOBODY = 65534


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A directory that every user may enter."""
    path = Path(tempfile.mkdtemp(prefix="replicante-e2e-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def installed(place: Path) -> Path:
    """The console script of the wheel that `REPLICANTE_WHEEL` names, with what it needs."""
    venv = place / "venv"
    subprocess.run([_public_python(), "-m", "venv", "--without-pip", venv], check=True)
    pip = [sys.executable, "-m", "pip", "--python", venv / "bin" / "python"]
    wheel = os.environ["REPLICANTE_WHEEL"]
    subprocess.run([*pip, "install", "-q", "-c", ROOT / "constraints.txt", wheel], check=True)
    return place / "venv" / "bin" / "replicante"


def _public_python() -> str:
    """An interpreter that every user may start: one below root's home is of no use to others."""
    own = Path(sys.executable).resolve()
    system = "/usr/bin/python3"
    shut = any(not directory.stat().st_mode & 0o001 for directory in own.parents)
    return system if shut and os.access(system, os.X_OK) else str(own)


@pytest.fixture(params=["as started", "unprivileged"])
def user(request: pytest.FixtureRequest, place: Path) -> dict[str, object]:
    """Arguments for `subprocess.run`: the caller, and as root an ordinary user as well."""
    if request.param == "as started":
        return {}
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    state = place / "state-of-nobody"
    state.mkdir(exist_ok=True)
    os.chown(state, NOBODY, NOBODY)
    return {
        "user": NOBODY,
        "group": NOBODY,
        "extra_groups": [],
        "env": {**os.environ, "XDG_STATE_HOME": str(state)},
    }


@pytest.fixture
def workspace(place: Path, user: dict[str, object]) -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(dir=place))
    if user:
        os.chown(path, NOBODY, NOBODY)
    yield path
    shutil.rmtree(path)


def call(
    installed: Path, workspace: Path, user: dict[str, object], *arguments: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [installed, *arguments],
        cwd=workspace,
        capture_output=True,
        text=True,
        check=False,
        **user,  # type: ignore[call-overload]
    )


def test_doctor_says_that_a_run_would_start(
    installed: Path, workspace: Path, user: dict[str, object]
) -> None:
    done = call(installed, workspace, user, "doctor", "--json")
    answer = json.loads(done.stdout)
    assert [row for row in answer["guarantees"] if row["degree"] == "not held"] == []
    assert (done.returncode, answer["ok"]) == (0, True)


def test_a_program_runs_and_its_code_is_passed_on(
    installed: Path, workspace: Path, user: dict[str, object]
) -> None:
    done = call(
        installed, workspace, user, "run", "--", "sh", "-c", "echo out; echo err >&2; echo x > made; exit 7"
    )
    assert done.returncode == 7
    assert done.stdout == "out\n"
    assert "err\n" in done.stderr
    assert (workspace / "made").read_text() == "x\n"


def test_a_denied_read_is_shown_with_its_rule(
    installed: Path, workspace: Path, user: dict[str, object]
) -> None:
    (workspace / ".env").write_text("TOKEN=of-the-owner\n")
    done = call(installed, workspace, user, "run", "--", "cat", ".env")
    assert done.returncode == 1
    assert "of-the-owner" not in done.stdout + done.stderr
    assert ".env" in done.stderr
    assert "baseline/" in done.stderr


def test_the_second_start_uses_the_cache(installed: Path, workspace: Path, user: dict[str, object]) -> None:
    assert call(installed, workspace, user, "run", "--policy", "strict", "--", "true").returncode == 0
    env = {**(user.get("env") or os.environ), "PYTHONPROFILEIMPORTTIME": "1"}  # type: ignore[dict-item]
    done = call(installed, workspace, {**user, "env": env}, "run", "--policy", "strict", "--", "true")
    assert done.returncode == 0
    assert "replicante.cli.run" in done.stderr
    assert "pydantic" not in done.stderr


def test_codes_of_our_own(installed: Path, workspace: Path, user: dict[str, object]) -> None:
    (workspace / "plain.txt").write_text("")
    assert call(installed, workspace, user, "run", "--", "no-such-program").returncode == 127
    assert call(installed, workspace, user, "run", "--", "./plain.txt").returncode == 126
    assert call(installed, workspace, user, "run", "--", "sh", "-c", "kill -9 $$").returncode == 137


def test_the_drill_comes_out_as_expected(installed: Path, workspace: Path, user: dict[str, object]) -> None:
    done = call(installed, workspace, user, "sandbox")
    right, judged = done.stdout.splitlines()[-1].removesuffix(" as expected").split(" of ")
    assert (done.returncode, right) == (0, judged), done.stdout
    assert os.listdir(workspace) == []
