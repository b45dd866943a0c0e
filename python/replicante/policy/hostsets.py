"""Host sets: data that ships with the package and that an operator may replace (N15)."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from typing import cast

from .shipped import shipped_dir


@cache
def shipped_host_sets() -> Mapping[str, tuple[str, ...]]:
    """Gives the sets that ship, by name with `@`, each sorted and without duplicates."""
    document = tomllib.loads((shipped_dir() / "host-sets.toml").read_text(encoding="utf-8"))
    sets = cast("Mapping[str, Sequence[str]]", document["host-sets"])
    return {f"@{name}": tuple(sorted(set(hosts))) for name, hosts in sets.items()}


def effective_host_sets(replaced: Mapping[str, Sequence[str]] | None) -> Mapping[str, tuple[str, ...]]:
    """Gives the sets that ship with the operator's replacements put in their places.

    Args:
        replaced: The operator's sets by name, with or without `@`. A new name is a new set.
    """
    sets = dict(shipped_host_sets())
    for name, hosts in (replaced or {}).items():
        sets[name if name.startswith("@") else f"@{name}"] = tuple(sorted(set(hosts)))
    return sets
