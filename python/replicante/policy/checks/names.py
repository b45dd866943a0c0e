"""Closed sets of names that the language takes from the kernel and from programs (C2, C3, E3)."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from fnmatch import fnmatchcase

STAND_INS = frozenset(
    {"memory", "processes", "cpu", "io", "freeze", "landlock", "read-events", "late-names", "upstream-names"}
)
"""Names after `accept weaker` (E3)."""

CAPABILITIES = frozenset(
    {
        "AUDIT_CONTROL", "AUDIT_READ", "AUDIT_WRITE", "BLOCK_SUSPEND", "BPF", "CHECKPOINT_RESTORE", "CHOWN",
        "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "IPC_LOCK", "IPC_OWNER", "KILL", "LEASE",
        "LINUX_IMMUTABLE", "MAC_ADMIN", "MAC_OVERRIDE", "MKNOD", "NET_ADMIN", "NET_BIND_SERVICE",
        "NET_BROADCAST", "NET_RAW", "PERFMON", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYSLOG",
        "SYS_ADMIN", "SYS_BOOT", "SYS_CHROOT", "SYS_MODULE", "SYS_NICE", "SYS_PACCT", "SYS_PTRACE",
        "SYS_RAWIO", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "WAKE_ALARM",
    }
)  # fmt: skip
"""Capabilities of Linux (capabilities(7)), without `CAP_`."""

CAPABILITIES_NOT_KEPT = frozenset(
    {
        "SYS_ADMIN", "SYS_MODULE", "SYS_RAWIO", "SYS_PTRACE", "SYS_BOOT", "BPF", "PERFMON", "MAC_ADMIN",
        "MAC_OVERRIDE", "SYS_TIME",
    }
)  # fmt: skip
"""Capabilities that no policy can keep (C2)."""

_LOADER_PATTERNS = ("LD_*", "DYLD_*")
"""Variables of the dynamic loader: neither kept nor set (C3)."""

_CODE_LOADING = frozenset(
    {
        "GCONV_PATH", "PYTHONSTARTUP", "PYTHONPATH", "PYTHONHOME", "PYTHONINSPECT", "NODE_OPTIONS",
        "NODE_PATH", "BASH_ENV", "ENV", "PERL5OPT", "PERL5LIB", "PERL5DB", "RUBYOPT", "RUBYLIB",
        "JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS", "GIT_SSH", "GIT_SSH_COMMAND",
        "GIT_EXTERNAL_DIFF", "GIT_ASKPASS", "SSH_ASKPASS", "PROMPT_COMMAND", "BASH_FUNC",
        "SHELLOPTS", "BASHOPTS", "ZDOTDIR", "LOCPATH", "NLSPATH", "MALLOC_CONF",
    }
)  # fmt: skip
"""Variables that load code into programs: set, but not kept (C3)."""

_SECRET_PATTERNS = ("*TOKEN*", "*SECRET*", "*PASSWORD*", "*_KEY")


def is_loader_variable(name: str) -> bool:
    """Tells whether a variable or prefix (`LD_*`) speaks to the dynamic loader."""
    return any(fnmatchcase(name, pattern) for pattern in _LOADER_PATTERNS)


def loads_code(name: str) -> bool:
    """Tells whether keeping a variable, or a prefix `X*`, would load code of the host into programs."""
    if is_loader_variable(name):
        return True
    if not name.endswith("*"):
        return name in _CODE_LOADING
    prefix = name[:-1]
    loaders = (pattern[:-1] for pattern in _LOADER_PATTERNS)
    return any(known.startswith(prefix) for known in (*_CODE_LOADING, *loaders))


def looks_secret(name: str) -> bool:
    """Tells whether a variable's name says that its value is a secret (C3)."""
    return any(fnmatchcase(name, pattern) for pattern in _SECRET_PATTERNS)


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """Gives the one known word that a mistyped word most likely stands for."""
    matches = difflib.get_close_matches(word, list(known), n=1, cutoff=0.7)
    return matches[0] if matches else None
