"""Which policies are surely no wider than the trusted one (R2), and which must be asked about."""

from __future__ import annotations

import pytest

from replicante import Policy, load_policy, parse_policy
from replicante.policy.trust import compare

BINDINGS = {
    "workspace": "/home/ada/shop",
    "home": "/home/ada",
    "tmp": "/tmp",
    "cache": "/agent/cache",
    "runtime": "/agent/run",
    "agent": "coder",
    "run": "r1",
    "user": "ada",
}


def child(body: str, parent: str = "moderate") -> Policy:
    return parse_policy(f"language 1\npolicy p extends {parent} {{ {body} }}", variables=BINDINGS)


def trusted() -> str:
    return load_policy("moderate", variables=BINDINGS).trust_digest


@pytest.mark.parametrize(
    "body",
    [
        "",
        'filesystem { deny any "${workspace}/data" }',
        'filesystem { hold write "${workspace}/Makefile" }',
        'never allow write "${workspace}/LICENSE"',
        'tripwire honey at "${workspace}/key" then kill',
        "alert a severity low when denied.any >= 1 within 1m then notify",
        'test "t" { expect deny read "/etc/shadow" }',
        "resources { memory 1GiB }",
        "network { limit connections 2 }",
        "syscalls { deny kcmp }",
        'description "prose"',
    ],
)
def test_what_only_takes_away_is_no_wider(body: str) -> None:
    assert compare(child(body), trusted()).no_wider


@pytest.mark.parametrize(
    "body",
    [
        'filesystem { allow read "/data/**" }',
        'filesystem { override allow read "${workspace}/.env" }',
        'network { allow connect "example.com" port 443 }',
        "resources { override memory 8GiB }",
        "network { override limit connections 5000 }",
        "environment { keep EDITOR }",
        'environment { set X "1" }',
        "capabilities { keep NET_BIND_SERVICE }",
        "accept weaker landlock",
        "override home real",
        "syscalls { override allow kcmp, process_vm_readv }",
        "network { override limits of forges rate 6000/min }",
    ],
)
def test_what_gives_more_is_asked(body: str) -> None:
    answer = compare(child(body), trusted())
    assert not answer.no_wider
    assert answer.reasons


def test_another_base_is_asked() -> None:
    assert not compare(child("", parent="strict"), trusted()).no_wider


def test_the_trusted_policy_itself_is_no_wider() -> None:
    policy = child('filesystem { allow read "/data/**" }')
    assert compare(policy, policy.trust_digest).no_wider


def test_an_edit_after_the_consent_is_asked() -> None:
    before = child('filesystem { allow read "/data/**" }')
    after = child('filesystem { allow read "/data/**", "/more/**" }')
    assert not compare(after, before.trust_digest).no_wider
