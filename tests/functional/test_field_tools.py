"""Field rows: a working day's tools run inside as they do outside, and change nothing but the workspace."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-P", "-c", "from replicante.cli.app import main; main()"]
Run = Callable[..., "subprocess.CompletedProcess[str]"]
DEADLINE_S = 120
SHELL = ("sh", "-ec")


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    path = tmp_path / "workspace"
    path.mkdir()
    return path


@pytest.fixture
def run(workspace: Path) -> Run:
    """Runs a shell script inside, under moderate."""

    def run(script: str, *options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                *COMMAND,
                "run",
                "--policy",
                "moderate",
                *options,
                "--workspace",
                ".",
                "--",
                "sh",
                "-ec",
                script,
            ],
            cwd=workspace,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )

    return run


def needs(*programs: str) -> pytest.MarkDecorator:
    """Skips a test where a program that it starts is missing."""
    missing = [program for program in programs if shutil.which(program, path="/usr/bin:/bin") is None]
    return pytest.mark.skipif(bool(missing), reason=f"not in /usr/bin here: {', '.join(missing)}")


def test_the_temporary_directory_is_there_to_use(run: Run) -> None:
    done = run('echo x > "$TMPDIR/f"; cat "$TMPDIR/f"; mktemp; mktemp -d; cp /bin/true /tmp/t; /tmp/t')
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("x\n/tmp/")


def test_the_home_is_private_and_nothing_lands_outside(run: Run) -> None:
    name = f".replicante-test-{os.urandom(6).hex()}"
    script = f'cd; pwd; mkdir -p "$HOME/{name}" .config/tool; echo x > "$HOME/{name}/f"; cat {name}/f'
    done = run(script)
    assert done.returncode == 0, done.stderr
    home = Path(done.stdout.splitlines()[0])
    assert home == Path("~").expanduser().resolve() or home.is_dir()
    assert not (home / name).exists()


def test_much_output_arrives_whole(run: Run) -> None:
    done = run("head -c 5000000 /dev/zero | tr '\\0' 'x'; echo end >&2")
    assert len(done.stdout) == 5_000_000
    assert done.stderr == "end\n"


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_process_pools_of_python(run: Run, workspace: Path, method: str) -> None:
    (workspace / "pool.py").write_text(
        "import multiprocessing as m\n"
        "from concurrent.futures import ProcessPoolExecutor\n"
        "if __name__ == '__main__':\n"
        f"    with ProcessPoolExecutor(2, mp_context=m.get_context({method!r})) as pool:\n"
        "        print(sum(pool.map(abs, range(-50, 50))))\n"
        f"    with m.get_context({method!r}).Manager() as manager:\n"
        "        print(manager.dict(a=1)['a'], m.Semaphore(2).acquire())\n"
    )
    done = run("python3 pool.py")
    assert done.stdout == "2500\n1 True\n", done.stderr


def test_a_server_that_holds_the_output_does_not_hold_the_run(run: Run) -> None:
    done = run("sleep 600 & echo main")
    assert (done.returncode, done.stdout) == (0, "main\n")


def test_a_server_of_one_command_serves_the_next(run: Run, workspace: Path) -> None:
    (workspace / "page").write_text("served")
    done = run(
        "python3 -m http.server 8123 --bind 127.0.0.1 >/dev/null 2>&1 &\n"
        "python3 - <<'END'\n"
        "import urllib.request\n"
        "while True:\n"
        "    try:\n"
        "        print(urllib.request.urlopen('http://127.0.0.1:8123/page').read().decode())\n"
        "        break\n"
        "    except OSError:\n"
        "        pass\n"
        "END"
    )
    assert done.stdout == "served\n", done.stderr


def git(workspace: Path, *arguments: str) -> str:
    """Runs git outside."""
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "safe.directory=*"]
    command = ["git", *identity, *arguments]
    return subprocess.run(command, cwd=workspace, capture_output=True, text=True, check=True).stdout


@needs("git")
def test_the_status_of_the_repository_is_the_same_before_within_and_after(run: Run, workspace: Path) -> None:
    git(workspace, "init", "-q")
    for name in ("main.py", ".vscode/tasks.json", ".github/workflows/build.yml", ".envrc"):
        (workspace / name).parent.mkdir(parents=True, exist_ok=True)
        (workspace / name).write_text("x\n")
    git(workspace, "add", ".")
    git(workspace, "commit", "-qm", "first")
    (workspace / "main.py").write_text("changed\n")
    (workspace / "new").write_text("new\n")
    before = git(workspace, "status", "--porcelain")
    done = run("git status --porcelain; git add . && git stash -q && git stash pop -q")
    assert done.returncode == 0, done.stderr
    assert done.stdout == before == " M main.py\n?? new\n"
    assert git(workspace, "reset", "-q") == ""
    assert git(workspace, "status", "--porcelain") == before


def test_a_debugger_traces_its_own_child(run: Run) -> None:
    script = (
        "python3 - <<'END'\n"
        "import ctypes, os, signal\n"
        "libc = ctypes.CDLL(None)\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    libc.ptrace(0, 0, None, None)\n"
        "    os.kill(os.getpid(), signal.SIGSTOP)\n"
        "    os._exit(0)\n"
        "print(os.WIFSTOPPED(os.waitpid(pid, 0)[1]))\n"
        "os.kill(pid, signal.SIGKILL)\n"
        "END"
    )
    assert run(script).stdout == "True\n"


def test_a_leak_is_found_by_the_sanitizer(run: Run, workspace: Path) -> None:
    """It traces its own process at the end, which many sandboxes refuse."""
    (workspace / "leak.c").write_text(
        "#include <stdlib.h>\nint main(void) { volatile char *p = malloc(10); *p = 1; p = 0; return 0; }\n"
    )
    done = run("gcc -g -fsanitize=address leak.c -o leak; ./leak")
    assert done.returncode != 0
    assert "10 byte(s) leaked in 1 allocation(s)" in done.stderr


def test_threads_name_themselves(run: Run) -> None:
    script = (
        "python3 - <<'END'\n"
        "import threading\n"
        "path = f'/proc/self/task/{threading.get_native_id()}/comm'\n"
        "open(path, 'w').write('worker')\n"
        "print(open(path).read(), end='')\n"
        "END"
    )
    assert run(script).stdout == "worker\n"


@needs("bwrap")
def test_a_sandbox_inside_fails_and_the_event_names_the_call(run: Run) -> None:
    done = run("bwrap --ro-bind / / true && echo nested")
    assert done.stdout == ""
    assert "syscall clone  rule kernel-surface" in done.stderr


def test_an_ordinary_refusal_is_not_claimed(run: Run, workspace: Path) -> None:
    """What the kernel refuses by its own rights is no denial of ours."""
    (workspace / "closed").write_text("x")
    done = run("chmod 000 closed; cat closed || true; cat absent || true; ls /nowhere || true")
    assert "denial" not in done.stderr
    assert "Permission denied" in done.stderr
