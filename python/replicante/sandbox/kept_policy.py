"""Finds the compiled policy of a past run among the kept ones, to explain what it decided."""

from __future__ import annotations

import json
import os
from typing import cast

from replicante.sandbox.policy_cache import entry_form


def find_by_identity(directory: str, identity: str) -> bytes | None:
    """The kept compiled form of the policy with this identity; `None` when none is kept any more.

    Args:
        directory: the state directory.
        identity: of D2, 64 hex digits.
    """
    folder = os.path.join(directory, "compiled")
    if not os.path.isdir(folder):
        return None
    for name in sorted(os.listdir(folder)):
        form = entry_form(directory, name)
        if form is not None and _identity(form) == identity:
            return form
    return None


def _identity(form: bytes) -> object:
    return cast("dict[str, object]", json.loads(form)).get("identity")
