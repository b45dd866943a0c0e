"""A system call of the launch fails: the sandbox is in force all the same, or nothing is run, with a reason.

The faults are strace's (`kernel.md` §8); the program inside tries what its policy denies. By default each
call fails at its first use with one error; with REPLICANTE_FAULTS=all (`nox -s faults`) at many of its uses
and with three errors.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from replicante.events.journal import Journal

if TYPE_CHECKING:
    from tests.conftest import Arena

HANGS_AFTER_S = 30
ALL = os.environ.get("REPLICANTE_FAULTS") == "all"
ERRORS = ("EPERM", "ENOMEM", "ENOSYS") if ALL else ("EPERM",)
"""No right, no memory, and a kernel that is too old to have the call."""
USES = (1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144) if ALL else (1,)
"""Which use of a call fails, in each process and thread of the launch."""

# Linux closes a descriptor whatever it answers (close(2)); nobody notices a lost wake-up (futex(2)), or
# the end of a child of which the kernel says nothing (wait4(2)): these fail in no kernel in such a way.
NOT_FAULTS = {"wait4", "close", "futex", "exit", "exit_group", "restart_syscall", "rt_sigreturn"}

RUNTIME = {
    "arch_prctl", "brk", "getrandom", "mmap", "mprotect", "munmap", "poll", "rt_sigaction", "sigaltstack",
}  # fmt: skip
"""What the C and the Rust library call before `main` and for their own memory: they end the process."""

# Under the name of the shim: strace, which starts it.
TRACED = '#!/bin/sh\nexec strace -f -qq -o "$TRACE" ${FAULT:+-e "$FAULT"} -- "$SHIM" "$@"\n'
START = (
    "import os\n"
    "from replicante.cli.app import main\n"
    "from replicante.sandbox import launch\n"
    "os.environ['SHIM'] = launch.shim_path()\n"
    "launch.shim_path = lambda: os.environ['TRACED']\n"
    "main()\n"
)

OWN_STATE = 'mount --make-rprivate / && mount --bind "$0" /var/lib/replicante && exec "$@"'

# Built-in words alone, each tried again: a fault that hits the attack itself must not spare the sandbox.
ATTACK = """
for i in 1 2 3; do
  echo leaked > {outside}/proof
  read -r line < {outside}/secret; echo "$line" >> got
  read -r line < .env; echo "$line" >> got
done 2>/dev/null
echo ran
"""


@dataclass(frozen=True)
class Launched:
    """A run, or what became of it."""

    code: int | None
    """None where it hung."""
    out: str
    err: str
    ledger: dict[str, Any] | None
    """What is in force, on disk: no instruction of the agent precedes it."""

    @property
    def in_force(self) -> bool:
        """Whether there is a ledger."""
        return self.ledger is not None


@dataclass(frozen=True)
class Bench:
    """An arena in which the launch can be traced."""

    arena: Arena

    @property
    def state(self) -> Path:
        """A state directory of its own, without anybody else's runs; root's is put in its fixed place."""
        return self.arena.base / "state"

    @property
    def runs(self) -> Path:
        """Where the runs lie."""
        return self.state / "runs" if self.arena.account.uid == 0 else self.state / "replicante" / "runs"

    def launch(self, fault: str = "", trace: str = "/dev/null", policy: str = "moderate") -> Launched:
        """Runs the attack inside while `fault` is injected."""
        before = set(self.runs.glob("*")) if self.runs.exists() else set[Path]()
        words = ["run", "--policy", policy, "--workspace", str(self.arena.workspace)]
        command = [self.arena.python, "-P", "-c", START, *words, "--", "sh", "attack.sh"]
        place = (
            ("unshare", "-m", "sh", "-c", OWN_STATE, str(self.state)) if self.arena.account.uid == 0 else ()
        )
        child = subprocess.Popen(
            [*self.arena.account.reach, *place, *self.arena.account.prefix, *command],
            cwd=self.arena.workspace,
            env={
                **self.arena.env,
                "XDG_STATE_HOME": str(self.state),
                "TRACED": str(self.arena.base / "traced"),
                "TRACE": trace,
                "FAULT": fault,
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        code: int | None = None
        try:
            out, err = child.communicate(timeout=HANGS_AFTER_S)
            code = child.returncode
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            out, err = child.communicate()
        ledgers = [ledger_of(path) for path in set(self.runs.glob("*")) - before]
        return Launched(code, out, err, next(filter(None, ledgers), None))

    def leaked(self) -> list[str]:
        """What the attack achieved, seen from outside; it is taken back."""
        found: list[str] = []
        proof, got = self.arena.outside / "proof", self.arena.workspace / "got"
        if proof.exists():
            found.append("wrote outside")
            proof.unlink()
        if got.exists():
            found += re.findall("secret-[0-9]", got.read_text())
            got.unlink()
        return found


def ledger_of(run: Path) -> dict[str, Any] | None:
    """The first event of a run's journal, which says what is in force."""
    path = run / "journal" / "00000000.rj"
    events = Journal(path).read() if path.exists() else []
    if not events:
        return None
    ledger: dict[str, Any] = json.loads(events[0].text)
    assert ledger["k"] == "run.ledger"
    return ledger


@pytest.fixture
def bench(arena: Arena) -> Iterator[Bench]:
    arena.write(arena.outside / "secret", "secret-1\n")
    arena.write(arena.workspace / ".env", "secret-2\n")
    arena.write(arena.workspace / "attack.sh", ATTACK.format(outside=arena.outside))
    arena.write(arena.base / "traced", TRACED).chmod(0o755)
    bench = Bench(arena)
    arena.own_directory(bench.state)
    if arena.account.uid == 0:
        Path("/var/lib/replicante").mkdir(mode=0o700, exist_ok=True)
    yield bench


def calls_of_the_launch(trace: str) -> dict[str, int]:
    """The system calls up to the start of the agent's program, and how often each was made."""
    calls: dict[str, int] = {}
    for line in trace.splitlines():
        # The filter comes last, and what is executed under it is the agent's program.
        if "seccomp" in calls and "execve(" in line:
            return calls
        if made := re.match(r"\d+\s+(\w+)\(", line):
            calls[made[1]] = calls.get(made[1], 0) + 1
    raise AssertionError(f"the agent's program was not started: {trace[-2000:]}")


def test_a_launch_with_a_fault_is_in_force_or_refused(bench: Bench) -> None:
    plain = bench.arena.plain("sh attack.sh")
    assert (plain.out, set(bench.leaked())) == ("ran\n", {"wrote outside", "secret-1", "secret-2"})

    trace = bench.arena.write(bench.arena.base / "trace", "")
    whole = bench.launch(trace=str(trace))
    assert (whole.code, whole.out, whole.in_force, bench.leaked()) == (0, "ran\n", True, []), whole.err
    calls = calls_of_the_launch(trace.read_text())
    assert len(calls) > 50
    assert {"mount", "pivot_root", "capset", "seccomp", "landlock_restrict_self"} <= set(calls)

    wrong: list[str] = []
    refused = 0
    for name in sorted(set(calls) - NOT_FAULTS):
        for error in ERRORS:
            for use in [use for use in USES if use <= calls[name]]:
                launched = bench.launch(f"inject={name}:error={error}:when={use}")
                fault = f"{name} {use} {error}: {launched}"
                if leaks := bench.leaked():
                    wrong.append(f"{leaks} by {fault}")
                elif launched.code is None:
                    wrong.append(f"hangs by {fault}")
                elif launched.in_force:
                    continue
                elif launched.out != "":
                    wrong.append(f"ran without a ledger by {fault}")
                elif is_refusal(launched) or (name == "write" and mute(launched)):
                    refused += 1
                elif name not in RUNTIME:
                    wrong.append(f"no reason by {fault}")
    assert wrong == [], "\n".join(wrong)
    assert refused > 30, "faults that are not noticed"


@pytest.mark.parametrize(
    "call", ["open_tree", "mount_setattr", "move_mount", "fsopen", "close_range", "seccomp", "fallocate"]
)
def test_a_kernel_without_a_call_that_is_needed_is_refused(bench: Bench, call: str) -> None:
    launched = bench.launch(f"inject={call}:error=ENOSYS")
    assert (launched.out, launched.in_force, bench.leaked()) == ("", False, [])
    assert is_refusal(launched), launched


def test_a_kernel_without_landlock_is_refused_until_the_policy_accepts_the_mounts_alone(bench: Bench) -> None:
    fault = "inject=landlock_create_ruleset:error=ENOSYS"
    launched = bench.launch(fault)
    assert (launched.out, launched.in_force, bench.leaked()) == ("", False, [])
    assert is_refusal(launched), launched
    assert "`accept weaker landlock`" in launched.err

    accepting = bench.arena.policy("  accept weaker landlock")
    launched = bench.launch(fault, policy=accepting)
    assert (launched.out, launched.in_force, bench.leaked()) == ("ran\n", True, []), launched
    assert launched.ledger is not None
    (entry,) = [entry for entry in launched.ledger["guarantees"] if entry["name"] == "landlock"]
    assert (entry["state"], entry["by"]) == ("weaker", "the mounts alone")


def mute(launched: Launched) -> bool:
    """Whether nothing was run and the reason itself could not be written."""
    return (launched.code, launched.out, launched.err) == (125, "", "")


def is_refusal(launched: Launched) -> bool:
    """Whether one line says why nothing was run, and the code is the documented one."""
    return launched.code == 125 and re.fullmatch(r"error\[L\d{3}\]: .+; .+\n", launched.err) is not None
