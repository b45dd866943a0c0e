"""Finds the compiled policy of a past run among the kept ones, to explain what it decided."""

from __future__ import annotations

import os
from collections.abc import Mapping

from replicante._core import Engine
from replicante.errors import PolicyError
from replicante.sandbox.policy_cache import entry_form


def find_engine(directory: str, identity: str, variables: Mapping[str, str]) -> Engine | None:
    """The engine of the policy with this identity; `None` when it is not kept any more.

    Args:
        directory: the state directory.
        identity: of D2, 64 hex digits.
        variables: the values that the policy was bound to.
    """
    folder = os.path.join(directory, "compiled")
    if not os.path.isdir(folder):
        return None
    for name in sorted(os.listdir(folder)):
        form = entry_form(directory, name)
        if form is None:
            continue
        try:
            engine = Engine.from_packed(form, dict(variables))
        except PolicyError:
            continue  # of another build, or it mentions what that run's policy did not
        if engine.identity == identity:
            return engine
    return None
