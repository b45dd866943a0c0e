"""Which enforcers make each rule of a policy true here, by the launcher's ledger.

The table says which promises of the ledger a kind of statement rests on. Whether they are held, and by what,
is the ledger's to say.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from replicante.policy.model import FILE_ACTIONS, Policy, Rule
from replicante.sandbox.trial import Guarantee, State

_RESTS_ON: dict[str, tuple[str, ...]] = {
    "files": ("files", "landlock"),
    "restricted files": (
        "files", "landlock", "denied reads are visible", "read-events", "late-names",
    ),
    "restricted files that exist": ("files", "landlock", "denied reads are visible", "read-events"),
    "held files": ("files", "held changes", "late-names"),
    "network": ("network by name",),
    "read network": ("network by name", "HTTP rules"),
    "UDP": ("network by name", "UDP by address"),
    "host sockets": ("files",),
    "listen": ("namespaces", "landlock"),
    "published": ("namespaces", "landlock", "published ports"),
    "mcp": ("MCP rules",),
    "tripwire": ("tripwire reactions",),
    "syscalls": ("system calls",),
    "capabilities": ("capabilities",),
    "secrets": ("secrets",),
    "overlay": (),
    "alerts": ("alerts",),
    "memory": ("memory",),
    "swap": ("swap",),
    "processes": ("processes",),
    "threads": ("processes",),
    "cpu": ("cpu",),
    "io-read": ("io",),
    "io-write": ("io",),
    **dict.fromkeys(("rate", "connections", "upload", "download"), ("network by name",)),
}  # fmt: skip
"""Kind of statement -> names in the ledger (rust/shim/src/launch.rs and ledger.rs write them)."""

_MCP_ACTIONS = frozenset({"call", "resource", "prompt", "sampling", "elicitation", "roots"})

_BY_THE_LAUNCHER = {
    "environment": "the launcher gives the agent these variables and no others",
    "cpu-time": "the shim ends the run",
    "wall-time": "the shim ends the run",
    "idle-time": "the shim ends the run",
    "output": "the shim drops what is beyond",
    "open-files": "RLIMIT_NOFILE",
    "tmp": "the size of the private file system",
    "max-file": "RLIMIT_FSIZE",
}
"""What the ledger does not list because no machine lacks it."""


Degree = Literal["held", "weaker", "pending", "nothing"]

_WORST_FIRST: tuple[State, ...] = ("pending", "weaker", "held")


@dataclass(frozen=True, slots=True)
class Enforced:
    """One statement of a policy and what makes it true.

    Attributes:
        statement: a rule's id, `resources KEY`, `alert NAME`, …
        text: the rule as written; empty where the statement says all.
        by: the promises of the ledger that it rests on; empty if nothing enforces it.
    """

    statement: str
    text: str
    by: tuple[Guarantee, ...]

    @property
    def degree(self) -> Degree:
        """The weakest of what the statement rests on."""
        states = {guarantee.state for guarantee in self.by}
        for degree in _WORST_FIRST:
            if degree in states:
                return degree
        return "nothing"


def enforcers(policy: Policy, ledger: Sequence[Guarantee]) -> list[Enforced]:
    """Gives each statement of a policy and its ancestors with its enforcers, in the order of their ids.

    Args:
        policy: a loaded policy.
        ledger: of `trial`, for the same policy.
    """
    promises = {guarantee.name: guarantee for guarantee in ledger}

    def by(kind: str) -> tuple[Guarantee, ...]:
        if kind in _BY_THE_LAUNCHER:
            return (Guarantee(kind, "held", _BY_THE_LAUNCHER[kind]),)
        return tuple(promises[name] for name in _RESTS_ON.get(kind, ()) if name in promises)

    rows = [
        Enforced(rule_id, policy.source_map[rule_id].text, _joined(by(kind) for kind in kinds))
        for rule_id, kinds in _kinds_of_rules(policy).items()
    ]
    for block, limits in (
        ("filesystem", policy.limits.filesystem),
        ("network", policy.limits.network),
        ("mcp", policy.limits.mcp),
    ):
        rows += [
            Enforced(f"{block} limit {limit.kind}", "", by("mcp" if block == "mcp" else limit.kind))
            for limit in limits
        ]
    rows += [Enforced(text, "", by(kind)) for text, kind in _limits_of_rules(policy)]
    if policy.workspace == "overlay":
        rows.append(Enforced("workspace overlay", "", by("overlay")))
    rows += [Enforced(f"resources {key}", "", by(key)) for key in policy.limits.stated]
    rows += [Enforced(f"capability {name}", "", by("capabilities")) for name in policy.capabilities]
    environment = policy.environment
    rows += [Enforced(f"variable {name}", "", by("environment")) for name in environment.keep]
    rows += [Enforced(f"variable {name}", "", by("environment")) for name in environment.set]
    rows += [Enforced(f"secret {secret.name}", "", by("secrets")) for secret in environment.secrets]
    rows += [Enforced(f"alert {alert.name}", "", by("alerts")) for alert in policy.alerts]
    rows += [Enforced(f"pin {pin.subject}", "", by("mcp")) for pin in policy.pins]
    return rows


def _kinds_of_rules(policy: Policy) -> dict[str, tuple[str, ...]]:
    """Gives the kinds of each rule by its id; the entries of one rule share it."""
    found: dict[str, tuple[str, ...]] = {}
    for rule in policy.rules:
        found.setdefault(rule.id, _kinds(rule))
    for call in policy.syscalls:
        found.setdefault(call.id, ("syscalls",))
    return dict(sorted(found.items()))


def _limits_of_rules(policy: Policy) -> list[tuple[str, str]]:
    """Gives the limits of rules and their kinds; the file size of one rule is no limit of a process."""
    found = {
        (f"{rule.id} limit {limit.kind}", "mcp" if rule.action in _MCP_ACTIONS else limit.kind)
        for rule in policy.rules
        for limit in rule.limits
    }
    return sorted((text, "" if kind == "max-file" else kind) for text, kind in found)


def _kinds(rule: Rule) -> tuple[str, ...]:
    grants = rule.effect in ("allow", "override_allow")
    if rule.action in FILE_ACTIONS:
        restricted = "restricted files that exist" if rule.existing else "restricted files"
        kind = "files" if grants else "held files" if rule.effect == "hold" else restricted
    elif rule.action == "listen":
        kind = "published" if rule.publish else "listen"
    elif rule.action == "connect-unix":
        kind = "host sockets"
    elif rule.action in ("connect", "resolve"):
        kind = "UDP" if rule.protocol == "udp" else "read network" if _is_read(rule) else "network"
    else:
        kind = "mcp"
    return (kind, "tripwire") if rule.effect == "tripwire" else (kind,)


def _is_read(rule: Rule) -> bool:
    """Whether requests have to be read to decide by the rule."""
    return rule.inspect or rule.protocol == "http"


def _joined(rows: Iterable[tuple[Guarantee, ...]]) -> tuple[Guarantee, ...]:
    return tuple({guarantee.name: guarantee for row in rows for guarantee in row}.values())
