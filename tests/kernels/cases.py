"""The launches that `guest/cases.sh` makes, by name."""

from __future__ import annotations

from tests.kernels.guest import Case

# The policies that ship never let anybody write there.
_WRITES_GROUPS = """\
  filesystem {
    allow read, execute "/bin/**", "${workspace}/**"
    allow read, write "/sys/fs/cgroup/**"
  }
"""
_HOLD = ("sh", "-c", "echo up; exec agent listen held")

CASES = (
    Case("memory", ("agent", "hog", "200"), "  resources { memory 64MiB }"),
    Case("processes", ("agent", "forks", "60"), "  resources { processes 20 }"),
    Case("io", ("agent", "disk", "big", "8"), "  resources { io-write 2MiB/s }", no_weaker=True),
    Case("cpu", ("agent", "spin", "3"), "  resources { cpu 0.2 }"),
    Case("spent", ("agent", "spin", "60"), "  resources { cpu-time 1s }"),
    Case("strong", ("sh", "-c", "cat /proc/self/cgroup /sys/fs/cgroup/memory.max"), no_weaker=True),
    Case("bomb", ("agent", "bomb"), "  resources { processes 40 }"),
    Case("after", ("true",)),
    Case("first", _HOLD),
    Case("beside", ("true",)),
    Case("undelegated", ("agent", "forks", "60"), "  resources { processes 20 }", user=True),
    Case("unwilling", ("true",), user=True, no_weaker=True),
    Case("delegated", ("agent", "hog", "200"), "  resources { memory 64MiB }", user=True, no_weaker=True),
    Case("part", ("agent", "hog", "200"), "  resources { memory 64MiB }", user=True),
    Case("crowded", ("true",), user=True),
    Case(
        "escape",
        (
            *("sh", "-c"),
            "agent write /sys/fs/cgroup/memory.max max; agent write /sys/fs/cgroup/cgroup.procs 0; "
            "exec agent write /sys/fs/cgroup/user/free/cgroup.procs 0",
        ),
        _WRITES_GROUPS,
        base="",
        user=True,
        no_weaker=True,
    ),
    Case("killed", _HOLD, user=True),
    Case("again", ("true",), user=True, no_weaker=True),
    Case("read", ("agent", "read", "/outside/secret")),
    Case("truncate", ("agent", "truncate", "/usr/share/victim")),
    Case("move", ("agent", "move", "/usr/share/victim", "/usr/share/taken")),
    Case("signal", ("sh", "-c", "exec agent signal $(cat victim)")),
    Case("unshare", ("agent", "unshare")),
    Case("mount", ("agent", "mount")),
    Case("connect", ("agent", "connect", "victim")),
)
