"""Loads the policy that a reference of T8 names."""

from __future__ import annotations

from collections.abc import Mapping

from replicante.policy.loading import load_policy
from replicante.policy.model import Policy
from replicante.sandbox.find_policy import is_file_reference, split_reference


def load_reference(reference: str, bindings: Mapping[str, str]) -> Policy:
    """Loads a policy completely, its tests included.

    Args:
        reference: `NAME`, `FILE` or `FILE:NAME`.
        bindings: values of the variables.

    Raises:
        PolicyError: with every finding.
    """
    if not is_file_reference(reference):
        return load_policy(reference, variables=dict(bindings))
    file, name = split_reference(reference)
    return load_policy(file, name=name, variables=dict(bindings))
