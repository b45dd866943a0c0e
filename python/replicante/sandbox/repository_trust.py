"""Whether a repository's own policy may be used: no wider than what is trusted, or agreed to (R2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from replicante.policy.model import Policy
from replicante.policy.trust import compare
from replicante.policy.trust_store import TrustRecord, TrustStore
from replicante.sandbox import state
from replicante.sandbox.consent import ConsentError, ask_person
from replicante.sandbox.find_policy import operator_default
from replicante.sandbox.load_reference import load_reference


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a proposal compares with what is trusted.

    Attributes:
        reasons: why it counts as wider, one line each; empty if it is no wider.
        against: the operator's default, on which the comparison may rest.
    """

    reasons: tuple[str, ...]
    against: Policy


def judge(policy: Policy, top: Path, bindings: Mapping[str, str], directory: str) -> Verdict:
    """Compares a repository's policy with the recorded one, or without a record with the operator's default.

    Args:
        policy: the proposal.
        top: the repository's top directory.
        bindings: all eight variables.
        directory: the state directory.

    Raises:
        StoreError: the record can't be read.
        PolicyError: the operator's default has errors.
    """
    record = TrustStore(Path(directory)).find(top)
    default = load_reference(operator_default(state.config_path()), bindings)
    trusted = default.trust_digest if record is None else record.trust_digest
    return Verdict(compare(policy, trusted).reasons, default)


def agree(policy: Policy, top: Path, directory: str) -> None:
    """Records a person's consent to exactly this policy.

    Raises:
        StoreError: it can't be written.
    """
    TrustStore(Path(directory)).record(top, TrustRecord(policy.name, policy.trust_digest, policy.text()))


def require_trust(
    policy: Policy, reference: str, top: Path, bindings: Mapping[str, str], directory: str
) -> Policy:
    """Returns once the policy may be used, with the default that it was compared with.

    Raises:
        ConsentError: it is wider, and nobody agreed.
    """
    verdict = judge(policy, top, bindings, directory)
    if verdict.reasons:
        if not ask_person(policy.name, reference, verdict.reasons):
            raise ConsentError(
                f"{reference} of this repository is wider than the trusted policy: {verdict.reasons[0]}",
                code="P090",
                help=f"read it, then `replicante policy trust {reference}`",
            )
        agree(policy, top, directory)
    return verdict.against
