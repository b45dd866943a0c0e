"""The slow way to a compiled policy: load, check, test, ask for trust, lower."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from replicante.policy.loading import load_policy
from replicante.policy.model import Policy
from replicante.policy.trust import compare
from replicante.policy.trust_store import TrustRecord, TrustStore
from replicante.sandbox import state
from replicante.sandbox.consent import ConsentError, ask_person
from replicante.sandbox.find_policy import FoundPolicy, is_file_reference, operator_default, split_reference

Closure = list[tuple[str, str]]
"""Path and SHA-256 of each file that went into a policy."""


def load_reference(reference: str, bindings: Mapping[str, str]) -> Policy:
    """Loads what a reference of T8 names.

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


def compile_trusted(
    found: FoundPolicy, bindings: Mapping[str, str], directory: str
) -> tuple[bytes, Closure | None]:
    """Compiles a policy that may be used; asks a person where R2 demands it.

    Args:
        found: which policy, and whether a repository proposes it.
        bindings: all eight variables.
        directory: the state directory.

    Returns:
        The compiled form, and the files that it depends on; `None` when it is good for this run only.

    Raises:
        PolicyError: the policy has errors.
        ConsentError: nobody agreed to a repository's own policy.
    """
    policy = load_reference(found.reference, bindings)
    closure = _closure(policy)
    for warning in policy.warnings:
        sys.stderr.write(f"{warning.render()}\n")
    if found.top is not None:
        closure += _require_trust(policy, found, bindings, directory)
    compiled = policy.compiled_form()
    return compiled, None if "run" in policy.bindings.variables else closure


def _closure(policy: Policy) -> Closure:
    return [(str(path), digest) for path, digest in policy.closure]


def _require_trust(
    policy: Policy, found: FoundPolicy, bindings: Mapping[str, str], directory: str
) -> Closure:
    """Returns once the policy may be used, with the files of what it was compared with."""
    top = Path(found.top or ".")
    store = TrustStore(Path(directory))
    record = store.find(top)
    default = load_reference(operator_default(state.config_path()), bindings)
    against = default.trust_digest if record is None else record.trust_digest
    verdict = compare(policy, against)
    if not verdict.no_wider:
        if not ask_person(policy.name, found.reference, verdict.reasons):
            raise ConsentError(
                f"the policy {found.reference} of this repository is wider than the trusted one: "
                f"{verdict.reasons[0]}",
                code="P090",
                help=f"read it, then `replicante policy trust {found.reference}`",
            )
        store.record(top, TrustRecord(policy.name, policy.trust_digest, policy.text()))
    return _closure(default)
