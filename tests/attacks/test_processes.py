"""Processes outside of the sandbox: seen, signalled, traced, read; and those that outlive the run."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Arena, Children, Done

OTHERS = "processes outside of the sandbox"
TOKEN = "leak-91ce1"  # noqa: S105 -- what must not come out
DEADLINE_S = 20

# Prints TOKEN from the memory of process PID at ADDRESS, by the call whose number is given.
READ_MEMORY = """python3 -c '
import ctypes, sys
libc = ctypes.CDLL(None, use_errno=True)
class Io(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("len", ctypes.c_size_t)]
buffer = ctypes.create_string_buffer(10)
local, remote = Io(ctypes.addressof(buffer), 10), Io({address}, 10)
n = libc.process_vm_readv({pid}, ctypes.byref(local), 1, ctypes.byref(remote), 1, 0)
print(n, buffer.value.decode())
'"""

TRACE = """python3 -c '
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
if libc.ptrace(16, {pid}, None, None) == 0:
    os.waitpid({pid}, 0)
    print("{token}")
'"""


@pytest.fixture
def victim(arena: Arena, children: Children) -> subprocess.Popen[bytes]:
    """A process of the same user that holds TOKEN in its memory, its environment and an open file."""
    kept = arena.write(arena.outside / "kept", TOKEN)
    program = (
        "import ctypes, sys\n"
        f"b = ctypes.create_string_buffer({TOKEN.encode()!r})\n"
        f"f = open({str(kept)!r})\n"
        "print(ctypes.addressof(b), f.fileno(), flush=True)\n"
        "sys.stdin.read()\n"
    )
    command = arena.plain_command(["/usr/bin/python3", "-c", program])
    return children.start(command, {**arena.env, "LEAK": TOKEN})


def told(victim: subprocess.Popen[bytes]) -> tuple[int, int]:
    """Where the victim keeps the token, and the descriptor of its file."""
    assert victim.stdout is not None
    address, number = victim.stdout.readline().split()
    return int(address), int(number)


def leaked(done: Done) -> bool:
    return TOKEN in done.out


def test_signalling(arena: Arena, children: Children) -> None:
    command = arena.plain_command(["sh", "-c", "echo up; exec sleep 600"])
    victims = [children.start(command) for _ in range(2)]
    for victim in victims:
        # Before its first word it may still be root's, whom the user's plain signal does not reach.
        assert victim.stdout is not None
        assert victim.stdout.readline() == b"up\n"
    pids = " ".join(str(victim.pid) for victim in victims)
    plain = arena.plain(f"kill -9 {victims[0].pid}")
    assert (plain.code, victims[0].wait(DEADLINE_S)) == (0, -signal.SIGKILL)
    inside = arena.inside(f"kill -9 {pids}; true")
    assert victims[1].poll() is None
    assert OTHERS in arena.ledger(inside.report["run"])["invisible"]


def test_reading_memory(arena: Arena, victim: subprocess.Popen[bytes]) -> None:
    address, _ = told(victim)
    script = READ_MEMORY.format(pid=victim.pid, address=address)
    arena.attack(script, effect=leaked, unseen=OTHERS)


def test_reading_memory_under_strict(arena: Arena, victim: subprocess.Popen[bytes]) -> None:
    address, _ = told(victim)
    script = READ_MEMORY.format(pid=victim.pid, address=address)
    arena.attack(script, effect=leaked, seen="syscall process_vm_readv", policy="strict")


def test_tracing(arena: Arena, victim: subprocess.Popen[bytes]) -> None:
    told(victim)
    arena.attack(TRACE.format(pid=victim.pid, token=TOKEN), effect=leaked, unseen=OTHERS)


def test_tracing_under_strict(arena: Arena, victim: subprocess.Popen[bytes]) -> None:
    told(victim)
    script = TRACE.format(pid=victim.pid, token=TOKEN)
    arena.attack(script, effect=leaked, seen="syscall ptrace", policy="strict")


def test_the_environment_of_another(arena: Arena, victim: subprocess.Popen[bytes]) -> None:
    told(victim)
    script = f"grep -a {TOKEN} /proc/{victim.pid}/environ || cat /proc/[0-9]*/environ"
    arena.attack(script, effect=leaked, unseen=OTHERS)


def test_an_open_file_of_another(arena: Arena, victim: subprocess.Popen[bytes]) -> None:
    _, number = told(victim)
    # Plainly the first name answers: the descriptors of strangers could block, or lose what they hold.
    script = f"cat /proc/{victim.pid}/fd/{number} || cat /proc/[0-9]*/fd/{number}"
    arena.attack(script, effect=leaked, unseen=OTHERS)


def test_taking_a_descriptor_of_another(arena: Arena, victim: subprocess.Popen[bytes]) -> None:
    _, number = told(victim)
    script = f"""python3 -c '
import ctypes, os
fd = ctypes.CDLL(None).syscall(438, os.pidfd_open({victim.pid}), {number}, 0)
print(os.pread(fd, 99, 0))
'"""
    arena.attack(script, effect=leaked, unseen=OTHERS)


def test_the_environment_of_the_caller(arena: Arena) -> None:
    """What the policy does not keep is in no environment that the agent sees."""
    env = {**arena.env, "HIDDEN_TOKEN": TOKEN}
    argv = ["sh", "-c", 'echo "$HIDDEN_TOKEN" | grep . || cat /proc/[0-9]*/environ']
    for command, shown in ((arena.plain_command(argv), True), (arena.inside_command(argv), False)):
        done = subprocess.run(command, cwd=arena.workspace, env=env, capture_output=True, check=False)
        assert (TOKEN.encode() in done.stdout) == shown, done


def test_an_inherited_descriptor(arena: Arena) -> None:
    kept = arena.write(arena.outside / "kept", TOKEN)
    with kept.open() as file:
        number = file.fileno()
        script = f"python3 -c 'import os; print(os.pread({number}, 99, 0))'"
        arena.attack(script, effect=leaked, fds=(number,), unseen="descriptors and variables of the caller")


def alive(name: str) -> bool:
    """Whether any process has this word in its command line."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if name.encode() in (entry / "cmdline").read_bytes():
                    return True
            except OSError:
                continue
    return False


def gone(name: str) -> bool:
    """Waits until no process has this word in its command line."""
    end = time.monotonic() + DEADLINE_S
    while time.monotonic() < end:
        if not alive(name):
            return True
        os.sched_yield()
    return False


PROGRAM = 'python3 -c \'import time; open("up", "w"); time.sleep(600)\' {mark} >/dev/null 2>&1 </dev/null &'
STAY = {
    "in the background": PROGRAM,
    "by a second fork in a new session": f"(setsid {PROGRAM})",
    "deaf to signals": f"(trap '' HUP TERM INT; setsid {PROGRAM})",
}


@pytest.mark.parametrize("script", STAY.values(), ids=STAY.keys())
def test_outliving_the_run(arena: Arena, script: str) -> None:
    mark = f"stay{os.urandom(6).hex()}"
    text = script.format(mark=mark) + "\nuntil [ -e up ]; do :; done"
    arena.plain(text)
    assert alive(mark)
    end_all(mark)
    (arena.workspace / "up").unlink()
    arena.inside(text)
    assert (arena.workspace / "up").exists()
    assert gone(mark)


def end_all(mark: str) -> None:
    """Ends the test's own processes, known by their mark."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if mark.encode() in (entry / "cmdline").read_bytes():
                    os.kill(int(entry.name), signal.SIGKILL)
            except OSError:
                continue
    assert gone(mark)


def test_outliving_a_killed_launcher(arena: Arena, children: Children) -> None:
    """Kill -9 of the shim leaves nothing alive of the agent."""
    mark = f"stay{os.urandom(6).hex()}"
    program = f"python3 -c 'import time; print(\"up\", flush=True); time.sleep(600)' {mark}"
    script = f"(trap '' HUP TERM; setsid {program} &); exec sleep 600"
    child = children.start(arena.inside_command(["sh", "-c", script]), arena.env)
    assert child.stdout is not None
    assert child.stdout.readline() == b"up\n"
    assert alive(mark)
    child.kill()
    child.wait(DEADLINE_S)
    assert gone(mark)


def test_the_first_process_inside_names_nothing_of_the_host(arena: Arena) -> None:
    """`/proc/1/cmdline` would tell where the package lies."""
    done = arena.inside("tr '\\0' ' ' </proc/1/cmdline; cat /proc/1/comm")
    assert done.out.split() == ["init", "init"]


def test_two_agents_of_root_have_two_users(arena: Arena, children: Children) -> None:
    """In a workspace of root each live agent has a user id that nobody else has."""
    if arena.account.uid != 0:
        # An unprivileged user has but one id: the namespaces alone part its agents (SECURITY.md).
        assert arena.inside("id -u").out.strip() == str(arena.account.uid)
        return
    first = children.start(arena.inside_command(["sh", "-c", "id -u; exec sleep 600"]), arena.env)
    assert first.stdout is not None
    one = int(first.stdout.readline())
    other = int(arena.inside("id -u").out)
    assert one != other
    assert {one, other} <= set(range(61184, 65520))
