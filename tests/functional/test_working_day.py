"""A coding agent's working day, under moderate and under coding-agent, as root and as an ordinary user.

Programs are those of the system, unchanged, with the switches of docs/guides/tools-inside.md and no others.
"""

from __future__ import annotations

import json
import os
import pty
import select
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Account

PATH = "/usr/local/bin:/usr/bin:/bin"
START = ("-P", "-c", "from replicante.cli.app import main; main()")
DEADLINE_S = 240
"""Longer than the slowest build on a busy machine: a run that takes longer hangs."""


@dataclass(frozen=True)
class Day:
    """A workspace of somebody, and the policy that the agent works under."""

    account: Account
    policy: str
    base: Path
    state: Path

    @property
    def workspace(self) -> Path:
        """The directory that the agent works on."""
        return self.base / "ws"

    @property
    def env(self) -> dict[str, str]:
        """The environment of the caller."""
        return {
            "PATH": PATH,
            "HOME": str(self.base / "home"),
            "XDG_STATE_HOME": str(self.state),
            "LC_ALL": "C.UTF-8",
            "TERM": "xterm",
        }

    def file(self, name: str, text: str) -> Path:
        """A file of the workspace."""
        path = self.workspace / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        self.own()
        return path

    def own(self) -> None:
        """Gives all of the workspace to whom the day belongs."""
        for path in [self.workspace, *self.workspace.rglob("*")]:
            os.chown(path, self.account.uid, self.account.gid, follow_symlinks=False)

    def command(self, *argv: str) -> list[str]:
        """The command line that runs a program inside."""
        return [
            *self.account.reach,
            *self.account.prefix,
            sys.executable,
            *START,
            "run",
            "--policy",
            self.policy,
            "--workspace",
            str(self.workspace),
            "--",
            *argv,
        ]

    def work(self, script: str) -> str:
        """Does a piece of work, which must succeed; gives what it printed."""
        done = subprocess.run(
            self.command("sh", "-euc", script),
            cwd=self.workspace,
            env=self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done.stdout

    def on_terminal(self, argv: Sequence[str], keys: Sequence[tuple[str, str]]) -> str:
        """Runs a program on a terminal; types each text once the one before it is on the screen.

        Args:
            argv: the program.
            keys: what must have appeared, and what is typed then.

        Returns:
            Everything that was drawn.
        """
        master, slave = pty.openpty()
        child = subprocess.Popen(
            self.command(*argv),
            cwd=self.workspace,
            env=self.env,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        drawn, waiting = "", list(keys)
        end = time.monotonic() + DEADLINE_S
        try:
            while time.monotonic() < end:
                if waiting and waiting[0][0] in drawn:
                    os.write(master, waiting.pop(0)[1].encode())
                if select.select([master], [], [], 0.1)[0]:
                    try:
                        drawn += os.read(master, 65536).decode(errors="replace")
                    except OSError:  # the last of the terminal's users is gone
                        break
            assert (child.wait(timeout=DEADLINE_S), waiting) == (0, []), drawn
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()
            os.close(master)
        return drawn


@pytest.fixture(params=["moderate", "coding-agent"])
def day(request: pytest.FixtureRequest, account: Account, ground: Path, state: Path) -> Iterator[Day]:
    """A fresh workspace and an empty home."""
    base = Path(tempfile.mkdtemp(dir=ground))
    base.chmod(0o755)
    day = Day(account, str(request.param), base, state)
    for path in (base, day.workspace, base / "home"):
        path.mkdir(exist_ok=True)
        os.chown(path, account.uid, account.gid)
    yield day
    shutil.rmtree(base, ignore_errors=True)


# The owner's ~/.gitconfig is not the agent's to change, so it says by its environment who it is.
IDENTITY = "".join(
    f"export GIT_{who}_NAME=agent GIT_{who}_EMAIL=agent@example.com\n" for who in ("AUTHOR", "COMMITTER")
)


def test_the_small_devices_open_for_reading_and_writing(day: Day) -> None:
    printed = day.work(
        "for d in null zero full random urandom; do : < /dev/$d; done\n"
        "echo x > /dev/null; echo x > /dev/zero; echo to-error > /dev/stderr; touch /dev/shm/x\n"
        "echo in > /dev/stdout; echo all\n"
    )
    assert printed == "in\nall\n"


def test_a_repository_is_cloned_edited_committed_and_pushed(day: Day) -> None:
    printed = day.work(
        f"{IDENTITY}"
        "git init -q --bare upstream.git; git clone -q upstream.git work 2>/dev/null; cd work\n"
        "echo one > f; git add f; git commit -qm first; git push -q origin HEAD\n"
        "cd ..; git clone -q upstream.git again; cd again; sed -i s/one/two/ f; git commit -qam second\n"
        "git checkout -qb side; git rebase -q HEAD~1; git push -q origin side; git log --all --format=%s\n"
    )
    assert printed.splitlines().count("second") == 1
    assert (day.workspace / "again" / "f").read_text() == "two\n"
    assert (day.workspace / "upstream.git" / "HEAD").exists()


def test_an_environment_a_wheel_and_tests_in_a_pool(day: Day) -> None:
    with zipfile.ZipFile(day.workspace / "tiny-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr("tiny.py", "def square(x):\n    return x * x\n")
        info = "tiny-1.0.dist-info"
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", f"tiny.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
    for name in ("pytest", "pluggy", "iniconfig", "packaging", "pygments"):
        for file in distribution(name).files or ():
            if file.suffix == ".py":
                copy = day.workspace / "lib" / file
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(str(file.locate()), copy)
    day.file(
        "test_it.py",
        "from concurrent.futures import ProcessPoolExecutor\n"
        "import multiprocessing, pytest, tiny\n"
        "@pytest.mark.parametrize('method', ['fork', 'spawn'])\n"
        "def test_pool(method, tmp_path):\n"
        "    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(method)) as pool:\n"
        "        assert sum(pool.map(tiny.square, range(5))) == 30\n",
    )
    printed = day.work(
        "python3 -m venv env; env/bin/pip install -q --no-index --disable-pip-version-check ./tiny-*.whl\n"
        "PYTHONPATH=lib env/bin/python -m pytest -q test_it.py\n"
    )
    assert "2 passed" in printed


def test_node_and_npm(day: Day) -> None:
    day.file("dep/package.json", json.dumps({"name": "dep", "version": "1.0.0", "bin": "cli.js"}))
    day.file("dep/index.js", "module.exports = 42\n")
    day.file("dep/cli.js", "#!/usr/bin/env node\nconsole.log('from dep')\n").chmod(0o755)
    scripts = {"test": "node --test", "hello": "dep"}
    day.file("package.json", json.dumps({"name": "app", "version": "1.0.0", "scripts": scripts}))
    day.file("app.test.js", "require('node:test')('dep', t => require('assert').equal(require('dep'), 42))\n")
    printed = day.work(
        "npm install --offline --no-audit --no-fund --silent ./dep >&2\n"
        "npm run --silent hello; npm test --silent\n"
    )
    assert printed.startswith("from dep\n")
    assert "pass 1" in printed


def test_a_build_with_all_processors(day: Day) -> None:
    for index in range(4):
        day.file(f"p{index}.c", f"int p{index}(void) {{ return {index}; }}\n")
    day.file(
        "main.c",
        "#include <stdio.h>\n#include <pthread.h>\nint p0(void), p1(void), p2(void), p3(void);\n"
        "static void *add(void *x) { *(int *)x = p0() + p1() + p2() + p3(); return 0; }\n"
        "int main(void) { int sum; pthread_t t; pthread_create(&t, 0, add, &sum); pthread_join(t, 0);\n"
        '    printf("%d\\n", sum); return 0; }\n',
    )
    day.file(
        "Makefile",
        "main: main.o p0.o p1.o p2.o p3.o\n\tcc -pthread -o $@ $^\n%.o: %.c\n\tcc -g -O2 -c -o $@ $<\n",
    )
    assert (
        day.work('make -s -j"$(nproc)" main; ./main; make -sq main; rm main p0.o; make -s main; ./main')
        == "6\n6\n"
    )


def test_cargo_builds_and_tests_offline(day: Day) -> None:
    day.file("dep/Cargo.toml", '[package]\nname = "dep"\nversion = "1.0.0"\nedition = "2021"\n')
    day.file("dep/src/lib.rs", "pub fn answer() -> u32 { 42 }\n")
    day.file("dep/build.rs", 'fn main() { println!("cargo:rustc-env=BUILT=yes"); }\n')
    day.file(
        "app/Cargo.toml",
        '[package]\nname = "app"\nversion = "1.0.0"\nedition = "2021"\n'
        '[dependencies]\ndep = { path = "../dep" }\n',
    )
    day.file(
        "app/src/main.rs",
        'fn main() { println!("{}", dep::answer()); }\n#[test]\nfn it() { assert_eq!(dep::answer(), 42); }\n',
    )
    script = "cd app; /usr/bin/cargo build -q --offline; ./target/debug/app; /usr/bin/cargo test -q --offline"
    printed = day.work(script)
    assert printed.startswith("42\n")
    assert "1 passed" in printed


def test_an_editor_on_a_terminal(day: Day) -> None:
    day.file("note", "")
    day.on_terminal(
        ["nano", "--ignorercfiles", "note"],
        [("GNU nano", "written inside\x0f"), ("File Name to Write", "\r"), ("Wrote 1 line", "\x18")],
    )
    assert (day.workspace / "note").read_text() == "written inside\n"


def test_a_multiplexer_inside(day: Day) -> None:
    drawn = day.on_terminal(
        ["tmux", "-f", "/dev/null", "new-session", "env", "PS1=ready> ", "sh"],
        [("ready>", "echo in-$((40 + 2)); tty\r"), ("in-42", "exit\r")],
    )
    assert "/dev/pts/" in drawn


PAGE = "<html><body><p id=p></p><script>p.textContent = 'drawn ' + 6 * 7</script></body></html>\n"
BROWSER = "chromium --headless --no-sandbox --disable-gpu --dump-dom"


def test_a_browser_shows_a_page_of_the_workspace(day: Day) -> None:
    page = day.file("page.html", PAGE)
    assert "drawn 42" in day.work(f"{BROWSER} file://{page}")


def test_a_browser_shows_a_page_of_a_server_inside(day: Day) -> None:
    day.file("page.html", PAGE)
    printed = day.work(
        "mkfifo up; python3 -u -m http.server 8123 --bind 127.0.0.1 > up 2>/dev/null & read line < up\n"
        f"{BROWSER} http://127.0.0.1:8123/page.html"
    )
    assert "drawn 42" in printed
