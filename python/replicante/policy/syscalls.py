"""System call names and groups, as the kernel part of the core knows them (C1)."""

from __future__ import annotations

from functools import cache

from replicante._core import syscall_groups, syscall_names

STANDARD = "@standard"
"""What holds if no policy of the ancestry allows a system call."""

FLOOR = ("@module", "@raw-io", "@reboot", "@swap")
"""Groups that are `never`, whatever a policy says (C1)."""


@cache
def groups() -> dict[str, tuple[str, ...]]:
    """Gives the closed set of groups: name with `@`, then its calls, sorted."""
    return {name: tuple(sorted(calls)) for name, calls in syscall_groups().items()}


@cache
def names() -> frozenset[str]:
    """Gives every call name of every architecture that runs agents."""
    return frozenset(syscall_names())


def expand(word: str) -> tuple[str, ...] | None:
    """Gives the calls that a name or `@group` stands for, sorted; None for an unknown word."""
    if word.startswith("@"):
        return groups().get(word)
    return (word,) if word in names() else None


def floor() -> tuple[str, ...]:
    """Gives the calls that no policy can allow, sorted."""
    return tuple(sorted({call for group in FLOOR for call in groups().get(group, ())}))
