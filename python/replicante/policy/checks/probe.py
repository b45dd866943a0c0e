"""An engine that answers one question: is every request like this one refused by what is inherited?

It holds the restrictions of the ancestors and one rule below them that allows everything. Only restrictions
whose whole effect is in their pattern take part: one with ports, protocol, methods or a condition refuses a
part of the requests and decides nothing about all of them.
"""

from __future__ import annotations

from collections.abc import Iterable

from replicante._core import Engine

from ..assemble import Ancestry
from ..bind import unbound_pattern
from ..limits import effective_limits
from ..lower import compiled_form
from ..model import (
    FILE_ACTIONS,
    Bindings,
    Environment,
    Policy,
    PolicyName,
    Rule,
    SourceRef,
)
from .instances import split_pattern

_PROBE = "allow-everything"


class Probe:
    """Asks what the ancestors of a policy refuse."""

    def __init__(self, ancestry: Ancestry, rules: Iterable[Rule]) -> None:
        """Takes the ancestry of a policy and those inherited rules that are to count."""
        rules = [rule for rule in rules if _is_whole(rule)]
        self.longest_path = max(
            (len(split_pattern(rule.pattern)) for rule in rules if rule.pattern[:1] == "/"), default=0
        )
        self.longest_host = max(
            (rule.pattern.count(".") + 1 for rule in rules if rule.kind == "name"), default=0
        )
        self._engine = _engine(ancestry, rules)

    def refuses(self, action: str, resource: str, port: int | None = None) -> bool:
        """Tells whether a concrete request is refused, for objects that the run made itself, too."""
        made = action in FILE_ACTIONS
        if port is None:
            return not self._engine.decide(action, resource, made=made).allowed
        return not self._engine.decide(action, resource, port=port).allowed


def _is_whole(rule: Rule) -> bool:
    return (
        rule.condition is None
        and rule.ports is None
        and rule.protocol is None
        and not rule.methods
        and not rule.url_paths
        and rule.action != "listen"
    )


def _engine(ancestry: Ancestry, rules: list[Rule]) -> Engine:
    name = ancestry.name
    lineage = ancestry.lineage
    policy = Policy(
        name=name,
        ancestry=tuple(
            PolicyName(name=n, shipped=False, ancestors=lineage.ancestors(n)) for n in ancestry.own
        ),
        rules=(*map(_unbound, rules), *_allow_everything(name)),
        limits=effective_limits(name, lineage, ancestry.own),
        syscalls=(),
        capabilities=(),
        environment=Environment(),
        alerts=(),
        tripwires=(),
        tests=(),
        pins=(),
        home="real",
        workspace="direct",
        accept=(),
        bindings=Bindings(variables={}, host_sets={}, public_suffix_date=""),
    )
    nowhere = SourceRef(file="", line=1, column=1, text="")
    places = {rule.id: nowhere for rule in policy.rules}
    return Engine(compiled_form(policy, places, "", ()))


def _unbound(rule: Rule) -> Rule:
    if "$" not in rule.pattern:
        return rule
    return rule.model_copy(update={"pattern": unbound_pattern(rule.pattern)})


def _allow_everything(policy: str) -> Iterable[Rule]:
    def rule(action: str, pattern: str, **clauses: object) -> Rule:
        return Rule.model_validate(
            {
                "id": f"{policy}/{_PROBE}",
                "policy": policy,
                "effect": "allow",
                "action": action,
                "pattern": pattern,
                **clauses,
            }
        )

    yield from (rule(action, "/**") for action in FILE_ACTIONS)
    yield rule("connect-unix", "/**")
    ports = ((1, 65535),)
    yield rule("connect", "", kind="any", ports=ports, protocol="tcp", classes=("private", "loopback"))
    yield from (
        rule("connect", block, kind="net", ports=ports, protocol="tcp") for block in ("0.0.0.0/0", "::/0")
    )
    yield rule("resolve", "", kind="any")
    yield rule("call", "*:*")
    yield rule("resource", "*:**")
    yield rule("prompt", "*:*")
    yield from (rule(action, "*") for action in ("sampling", "elicitation"))
