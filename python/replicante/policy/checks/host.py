"""What a policy asks for that this machine has less of: W110 and W130 (S3, L2)."""

from __future__ import annotations

import os
from dataclasses import dataclass

from ..diagnostics import Diagnostic, Source
from ..model import Policy

_THOUSANDTHS = 1000


@dataclass(frozen=True, slots=True)
class MachineMeans:
    """What a machine has to give to a run."""

    memory_bytes: int
    cpu_thousandths: int
    has_commit_gate: bool


def present_means(*, has_commit_gate: bool) -> MachineMeans:
    """Gives the means of the machine that this runs on.

    Args:
        has_commit_gate: Whether changes can be held back here (F10); the launcher knows.
    """
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return MachineMeans(memory, _THOUSANDTHS * (os.cpu_count() or 1), has_commit_gate)


def machine_warnings(policy: Policy, means: MachineMeans) -> tuple[Diagnostic, ...]:
    """Gives the warnings about limits above a machine's means, and about holds that act as denies there."""
    source = Source(policy.text(), policy.name)
    heading = source.span(0, 0)
    found: list[Diagnostic] = []

    def warn(code: str, message: str, rule: str) -> None:
        found.append(Diagnostic(code, message, heading, source, "warning", rule=rule))

    resources = policy.limits.resources
    if "memory" in policy.limits.stated and resources.memory > means.memory_bytes:
        message = f"`memory` is {resources.memory} bytes, but this machine has {means.memory_bytes}"
        warn("W130", message, "L2")
    if "cpu" in policy.limits.stated and resources.cpu > means.cpu_thousandths:
        cores = means.cpu_thousandths // _THOUSANDTHS
        warn("W130", f"`cpu` is {resources.cpu / _THOUSANDTHS:g} cores, but this machine has {cores}", "L2")
    held = sorted({rule.id for rule in policy.rules if rule.effect == "hold" and rule.action != "call"})
    if held and not means.has_commit_gate:
        warn("W110", f"held changes are denied here, since nothing keeps them aside: {', '.join(held)}", "S3")
    return tuple(found)
