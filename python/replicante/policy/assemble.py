"""From the statements of an ancestry to one model: the union of rules, and effective values (S5, S7, D1)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar

from . import syscalls
from .diagnostics import Source, Span
from .environment import effective_capabilities, effective_environment
from .inherit import Lineage
from .limits import effective_limits, rule_limits
from .model import (
    Bindings,
    HomeKind,
    Pin,
    Policy,
    PolicyName,
    Rule,
    SourceRef,
    SyscallRule,
    WorkspaceKind,
)
from .statements import Both, OwnStatements

T = TypeVar("T")
Form = Literal["bound", "symbolic"]

HOME_ORDER: tuple[HomeKind, ...] = ("real", "private", "fresh")
"""From the widest to the narrowest; a child goes to the right plainly (decisions.md D1)."""

STANDARD_RULE = "implicit.standard"
"""Name part of the rule that holds where nobody allows a system call (C1); no label can have a dot."""

FLOOR_RULE = "implicit.floor"
"""Name part of the rule that refuses what no policy can allow (C1)."""


@dataclass(frozen=True, slots=True)
class Ancestry:
    """The policies that take part in one policy, with everything that they say."""

    name: str
    lineage: Lineage
    own: Mapping[str, OwnStatements]
    """The statements of each policy of the ancestry, in its order."""
    shipped: frozenset[str]


@dataclass(frozen=True, slots=True)
class Origin:
    """What a policy was read from, for findings about its text."""

    ancestry: Ancestry
    source: Source
    """The text that the policy stands in; its ancestors may stand in others."""
    heading: Span


@dataclass(frozen=True, slots=True)
class BoundValues:
    """What the variables and host sets of a run stand for."""

    variables: Mapping[str, str]
    host_sets: Mapping[str, tuple[str, ...]]
    public_suffix_date: str


def assemble(ancestry: Ancestry, values: BoundValues, form: Form = "bound") -> Policy:
    """Gives the model of the last policy of an ancestry; its positions are attached by loading.

    Args:
        ancestry: The policies that take part, already checked.
        values: Variables and host sets; the model keeps those that the ancestry mentions.
        form: `symbolic` leaves variables as they are written, for trust digest and compiled form.
    """
    own, name, lineage = ancestry.own, ancestry.name, ancestry.lineage
    home = effective_home(ancestry)
    return Policy(
        name=name,
        description=own[name].description,
        ancestry=tuple(
            PolicyName(name=each, shipped=each in ancestry.shipped, ancestors=lineage.ancestors(each))
            for each in own
        ),
        rules=tuple(sorted(_rules(ancestry, form), key=_rule_order)),
        limits=effective_limits(name, lineage, own),
        syscalls=tuple(_syscalls(ancestry)),
        capabilities=effective_capabilities(lineage, own),
        environment=effective_environment(name, lineage, own, form),
        alerts=tuple(
            sorted(
                (pick(alert, form) for each in own.values() for alert, _ in each.alerts), key=lambda a: a.name
            )
        ),
        tripwires=tuple(
            sorted(
                (pick(wire, form) for each in own.values() for wire, _ in each.tripwires),
                key=lambda t: t.name,
            )
        ),
        tests=tuple(
            sorted(
                (pick(test, form) for each in own.values() for test in each.tests),
                key=lambda t: t.model_dump_json(),
            )
        ),
        pins=_pins(ancestry, form),
        home=home,
        workspace=effective_workspace(ancestry),
        accept=tuple(sorted({accepted for each in own.values() for accepted in each.accept})),
        bindings=_bindings(ancestry, values, home, form),
    )


def source_map(ancestry: Ancestry) -> dict[str, SourceRef]:
    """Gives the positions of all rules of an ancestry; an implicit rule stands where its policy starts."""
    found: dict[str, SourceRef] = {}
    for own in ancestry.own.values():
        found.update(own.sources)
    return found


def effective_home(ancestry: Ancestry) -> HomeKind:
    """Gives the narrowest `home` that is alive for a policy; `real` if nobody states one."""
    live = ancestry.lineage.live(ancestry.name, lambda name: _one(ancestry.own[name].home))
    return HOME_ORDER[max((HOME_ORDER.index(stated.value) for stated in live), default=0)]


def effective_workspace(ancestry: Ancestry) -> WorkspaceKind:
    """Gives `overlay` if one live statement says so (F10)."""
    live = ancestry.lineage.live(ancestry.name, lambda name: _one(ancestry.own[name].workspace))
    return "overlay" if any(stated.value == "overlay" for stated in live) else "direct"


def pick(both: Both[T], form: Form) -> T:
    """Gives one of the two forms of a statement."""
    return both.bound if form == "bound" else both.symbolic


def _one(value: T | None) -> list[T]:
    return [] if value is None else [value]


def _rules(ancestry: Ancestry, form: Form) -> Iterable[Rule]:
    seen: set[Rule] = set()
    for owner, own in ancestry.own.items():
        for statement in own.rules:
            limits = rule_limits(ancestry.name, owner, statement, ancestry.lineage, ancestry.own)
            for rule in pick(statement.rules, form):
                entry = rule if rule.limits == limits else rule.model_copy(update={"limits": limits})
                if entry not in seen:
                    seen.add(entry)
                    yield entry


def _pins(ancestry: Ancestry, form: Form) -> tuple[Pin, ...]:
    pins = [pick(pin, form) for each in ancestry.own.values() for pin in each.pins]
    return tuple({pin.model_dump_json(): pin for pin in sorted(pins, key=_pin_order)}.values())


def _pin_order(pin: Pin) -> str:
    return pin.model_dump_json()


def _rule_order(rule: Rule) -> tuple[str, str, str, str]:
    return (rule.id, rule.action, rule.kind or "", rule.pattern)


def _syscalls(ancestry: Ancestry) -> Iterable[SyscallRule]:
    stated = {
        statement.rule.id: statement.rule for own in ancestry.own.values() for statement in own.syscalls
    }
    yield from (stated[rule_id] for rule_id in sorted(stated))
    if not any(rule.effect in ("allow", "override_allow") for rule in stated.values()):
        yield SyscallRule(
            id=f"{ancestry.name}/{STANDARD_RULE}",
            policy=ancestry.name,
            effect="allow",
            names=syscalls.expand(syscalls.STANDARD) or (),
        )
    yield SyscallRule(
        id=f"{ancestry.name}/{FLOOR_RULE}", policy=ancestry.name, effect="never", names=syscalls.floor()
    )


def _bindings(ancestry: Ancestry, values: BoundValues, home: HomeKind, form: Form) -> Bindings:
    mentioned = {name for own in ancestry.own.values() for name in own.variables}
    if home != "real":
        mentioned.add("home")  # the private directory stands at its name, whoever mentions it
    sets = {name for own in ancestry.own.values() for name in own.host_sets}
    return Bindings(
        variables={}
        if form == "symbolic"
        else {n: values.variables[n] for n in sorted(mentioned) if n in values.variables},
        host_sets={name: values.host_sets[name] for name in sorted(sets)},
        public_suffix_date=values.public_suffix_date,
    )
