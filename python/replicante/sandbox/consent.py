"""Consent of a person to a repository's own policy (policy-language R2)."""

from __future__ import annotations

from replicante.errors import LaunchError


class ConsentError(LaunchError):
    """A repository's policy is wider than the trusted one, and nobody agreed to it (P090)."""
