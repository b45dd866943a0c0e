"""Floods: processes, memory, files, descriptors, time. Each ends at the policy's amount."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.conftest import Arena

AMOUNTS = "amounts that the kernel limits by itself"


def hits(arena: Arena, run: str) -> list[str]:
    return [str(event["resource"]) for event in arena.events(run) if event["k"] == "limit.hit"]


def test_processes(arena: Arena) -> None:
    script = (
        "python3 - <<'END'\n"
        "import os\n"
        "n = 0\n"
        "ready, done = os.pipe()\n"
        "for _ in range(60):\n"
        "    try:\n"
        "        pid = os.fork()\n"
        "    except OSError:\n"
        "        break\n"
        "    if pid == 0:\n"
        "        os.close(done)\n"
        "        os.read(ready, 1)\n"
        "        os._exit(0)\n"
        "    n += 1\n"
        "print('made', n)\n"
        "END"
    )
    policy = arena.policy("  resources { processes 20 }")
    arena.attack(script, effect=lambda done: "made 60" in done.out, policy=policy, unseen=AMOUNTS)


def test_memory(arena: Arena) -> None:
    script = "python3 -c 'b = bytearray(400 << 20); import time; time.sleep(1.5); print(\"held\", len(b))'"
    policy = arena.policy("  resources { memory 100MiB }")
    plain = arena.plain(script)
    assert "held" in plain.out
    inside = arena.inside(script, policy=policy)
    assert "held" not in inside.out
    assert "memory" in hits(arena, inside.report["run"])
    (limit,) = inside.report["limits"]
    assert (limit["resource"], limit["limit"]) == ("memory", 100 << 20)


def test_the_size_of_a_file(arena: Arena) -> None:
    big = arena.workspace / "big"
    policy = arena.policy("  filesystem { limit max-file 1MiB }")
    arena.attack(
        "head -c 3000000 /dev/zero > big; true",
        effect=lambda _: big.stat().st_size > 1 << 20,
        restore=lambda: big.unlink(missing_ok=True),
        policy=policy,
        unseen=AMOUNTS,
    )


def test_filling_the_machine_s_memory_by_tmp(arena: Arena) -> None:
    name = f"flood{os.urandom(4).hex()}"
    script = f"head -c 9000000 /dev/zero > /tmp/{name}; wc -c < /tmp/{name}; rm /tmp/{name}"
    policy = arena.policy("  resources { tmp 2MiB }")
    arena.attack(script, effect=lambda done: "9000000" in done.out, policy=policy, unseen=AMOUNTS)


def test_open_files(arena: Arena) -> None:
    script = (
        "python3 -c '\n"
        "import os, resource\n"
        "hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))\n"
        'print("opened", len([os.dup(0) for _ in range(500)]))\''
    )
    policy = arena.policy("  resources { open-files 64 }")
    arena.attack(script, effect=lambda done: "opened 500" in done.out, policy=policy, unseen=AMOUNTS)


def test_time(arena: Arena) -> None:
    policy = arena.policy("  resources { wall-time 1s }")
    script = "trap '' TERM HUP INT; i=0; while [ $i -lt 40 ]; do sleep 0.1; i=$((i+1)); done; echo late"
    assert "late" in arena.plain(script).out
    inside = arena.inside(script, policy=policy)
    assert inside.code == 124
    assert "late" not in inside.out
    assert hits(arena, inside.report["run"]) == ["wall-time"]


def test_a_flood_of_denials_is_folded(arena: Arena) -> None:
    """Ten thousand refused calls make a few lines of the journal, and the report counts them all."""
    script = "python3 -c 'import ctypes; l = ctypes.CDLL(None)\nfor _ in range(10000): l.unshare(0x10000000)'"
    inside = arena.inside(script)
    (group,) = [group for group in inside.report["denials"] if group["resource"] == "unshare"]
    assert group["count"] == 10000
    assert len(arena.events(inside.report["run"])) < 200


def test_a_core_dump_leaves_nothing(arena: Arena) -> None:
    script = "ulimit -c unlimited; python3 -c 'import os; os.abort()'; ulimit -c"
    inside = arena.inside(script)
    assert "unlimited" not in inside.out
    assert not [path for path in arena.workspace.iterdir() if path.name.startswith("core")]
