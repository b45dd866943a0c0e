"""The policies and data that ship with the package: one place that knows where they lie."""

from __future__ import annotations

from functools import cache
from pathlib import Path

BUILT_IN = ("baseline", "strict", "moderate", "permissive")
"""Always nameable, and reserved (T7)."""

_PACKAGE = Path(__file__).resolve().parent.parent


@cache
def shipped_dir() -> Path:
    """Gives the directory of the `.policy` files that ship: in the wheel, or in a checkout beside `python/`.

    A checkout's own directory goes first: an editable install leaves a copy in the package, which grows old.

    Raises:
        FileNotFoundError: If the package was taken apart and has neither.
    """
    checkout = _PACKAGE.parent.parent
    is_checkout = _PACKAGE.parent.name == "python" and (checkout / "pyproject.toml").is_file()
    for candidate in (*([checkout / "policies"] if is_checkout else []), _PACKAGE / "policies"):
        if (candidate / "baseline.policy").is_file():
            return candidate
    raise FileNotFoundError("the policies that ship with replicante are missing from its installation")


@cache
def shipped_names() -> tuple[str, ...]:
    """Gives the names of all policies that ship, sorted; each lies in the file of its name."""
    return tuple(sorted(path.stem for path in shipped_dir().glob("*.policy")))


def shipped_path(name: str) -> Path | None:
    """Gives the file of a policy that ships, or None if none has that name."""
    return shipped_dir() / f"{name}.policy" if name in shipped_names() else None
