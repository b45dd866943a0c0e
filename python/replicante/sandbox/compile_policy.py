"""The slow way to a compiled policy: load, check, test, ask for trust, lower."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from replicante._core import pack_policy
from replicante.policy.model import Policy
from replicante.sandbox.find_policy import FoundPolicy
from replicante.sandbox.load_reference import load_reference
from replicante.sandbox.policy_cache import CompiledPolicy
from replicante.sandbox.repository_trust import require_trust

Closure = list[tuple[str, str]]
"""Path and SHA-256 of each file that went into a policy."""


def compile_trusted(
    found: FoundPolicy, bindings: Mapping[str, str], directory: str
) -> tuple[CompiledPolicy, Closure]:
    """Compiles a policy that may be used; asks a person where R2 demands it.

    Args:
        found: which policy, and whether a repository proposes it.
        bindings: all eight variables, with which it is checked.
        directory: the state directory.

    Returns:
        The policy, and the files that it depends on.

    Raises:
        PolicyError: the policy has errors.
        ConsentError: nobody agreed to a repository's own policy.
    """
    policy = load_reference(found.reference, bindings)
    closure = _closure(policy)
    for warning in policy.warnings:
        sys.stderr.write(f"{warning.render()}\n")
    if found.top is not None:
        closure += _closure(require_trust(policy, found.reference, Path(found.top), bindings, directory))
    named = policy.bindings.variables.get("workspace") if found.reference.endswith(".toml") else None
    return CompiledPolicy(pack_policy(policy.compiled_form), named), closure


def _closure(policy: Policy) -> Closure:
    return [(str(path), digest) for path, digest in policy.closure]
