"""Replicante runs an autonomous agent under a written policy that the Linux kernel enforces.

Importing this package costs nothing: each public name loads its part when it is first used.
"""

from __future__ import annotations

TYPE_CHECKING = (
    False  # `typing` costs 13 ms to import, a third of a whole start; type checkers know this name
)
if TYPE_CHECKING:
    from ._core import (
        Decision,
        Engine,
        Glob,
        HostPattern,
        RateLimit,
        RuleRef,
        normalize_host,
        normalize_path,
    )
    from .errors import (
        ConfigError,
        ControlError,
        HostError,
        LaunchError,
        PathError,
        PatternError,
        PolicyError,
        ReplicanteError,
        StoreError,
    )
    from .policy.loading import compile_policy, load_policy, parse_policy
    from .policy.model import Policy
    from .sandbox import Sandbox, run

__all__ = [
    "ConfigError",
    "ControlError",
    "Decision",
    "Engine",
    "Glob",
    "HostError",
    "HostPattern",
    "LaunchError",
    "PathError",
    "PatternError",
    "Policy",
    "PolicyError",
    "RateLimit",
    "ReplicanteError",
    "RuleRef",
    "Sandbox",
    "StoreError",
    "compile_policy",
    "load_policy",
    "normalize_host",
    "normalize_path",
    "parse_policy",
    "run",
]

_PARTS = {
    "._core": (
        "Decision",
        "Engine",
        "Glob",
        "HostPattern",
        "RateLimit",
        "RuleRef",
        "normalize_host",
        "normalize_path",
    ),
    ".errors": (
        "ConfigError",
        "ControlError",
        "HostError",
        "LaunchError",
        "PathError",
        "PatternError",
        "PolicyError",
        "ReplicanteError",
        "StoreError",
    ),
    ".policy.loading": ("compile_policy", "load_policy", "parse_policy"),
    ".policy.model": ("Policy",),
    ".sandbox": ("Sandbox", "run"),
}

_PART_OF = {name: part for part, names in _PARTS.items() for name in names}


def __getattr__(name: str) -> object:
    part = _PART_OF.get(name)
    if part is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(part, __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
