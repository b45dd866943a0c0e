"""Ids of rules are part of events, trust and identities: how a rule is rendered must not change them (T9)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from replicante import PolicyError, load_policy, parse_policy
from replicante.policy.model import Policy

VECTORS = json.loads((Path(__file__).parents[2] / "vectors/policy-vectors.json").read_text(encoding="utf-8"))
_EXAMPLES = Path(__file__).parents[3] / "docs/examples"
EXAMPLES = sorted([*_EXAMPLES.glob("*.policy"), *_EXAMPLES.glob("sandbox*.toml")])


def ids_and_texts(policy: Policy) -> list[str]:
    shown = {policy.name, *(each.name for each in policy.ancestry if not each.shipped)}
    return [
        f"{rule_id}  {place.text}"
        for rule_id, place in sorted(policy.source_map.items())
        if rule_id.partition("/")[0] in shown
    ]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_of_the_examples(path: Path, bindings: dict[str, str], snapshots: SnapshotAssertion) -> None:
    assert "\n".join(ids_and_texts(load_policy(path, variables=bindings))) == snapshots


def test_of_the_vectors(snapshots: SnapshotAssertion) -> None:
    found: dict[str, None] = {}
    for vector in VECTORS["decisions"]:
        try:
            policy = parse_policy(
                vector["policy"],
                name=vector["target"],
                variables=VECTORS["bindings"],
                host_sets=VECTORS["host_sets"],
            )
        except PolicyError:
            continue  # a vector of a refusal: it has no rules
        found.update(dict.fromkeys(ids_and_texts(policy)))
    assert len(found) > 80
    assert "\n".join(found) == snapshots


def test_layout_and_comments_do_not_change_an_id() -> None:
    def only_id(condition: str) -> str:
        policy = parse_policy(f'language 1\npolicy p {{ mcp {{ allow call "g:x" where {condition} }} }}')
        return policy.rules[0].id

    written = only_id("arg size <= 1000 and arg a exists")
    assert only_id("arg size<=1000 and\n  # why\n  (arg a exists)") == written
    assert only_id("arg size <= 1001 and arg a exists") != written


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            'filesystem { deny read, write "/a", "/b" }',
            'filesystem { deny write, read "/b", "/a" because "y" }',
        ),
        (
            'network { allow connect "a.example", @source-forges port 80, 443 method GET, HEAD inspect tls }',
            'network { allow connect @source-forges, "a.example" inspect tls port 443, 80 method HEAD, GET }',
        ),
        ("syscalls { deny mount, ptrace }", 'syscalls { deny ptrace, mount because "y" }'),
    ],
)
def test_order_and_prose_do_not_change_an_id(one: str, other: str) -> None:
    first, second = (parse_policy(f"language 1\npolicy p {{ {body} }}") for body in (one, other))
    assert {rule.id for rule in first.rules} == {rule.id for rule in second.rules}
    assert {rule.id for rule in first.syscalls} == {rule.id for rule in second.syscalls}
