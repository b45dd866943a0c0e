"""What a person and a program are told about a decision (§14), and about tests that come out differently."""

from __future__ import annotations

from replicante import Policy, load_policy, parse_policy
from replicante.policy.checks.host import MachineMeans, machine_warnings
from replicante.policy.explain import Answer, answer, group_text
from replicante.policy.requests import parse_question, request_text
from replicante.policy.tests_run import inherited_differences

VALUES = {"workspace": "/home/ada/shop", "home": "/home/ada", "tmp": "/tmp", "cache": "/agent/cache"}


def moderate() -> Policy:
    return load_policy("moderate", variables=VALUES)


def explained(request: str) -> Answer:
    return answer(moderate().compile(), parse_question(request, VALUES))


def test_a_denial_names_its_rule_and_the_line_that_lifts_it() -> None:
    lines = explained('read "${workspace}/.env"').text().splitlines()
    assert lines[0].startswith("deny: rule baseline/secret-files  baseline.policy:")
    assert lines[0].endswith("(S2)")
    assert any(line.startswith("  because") for line in lines)
    assert lines[-1].endswith('override allow read "${workspace}/.env"')


def test_a_denial_by_default_names_the_nearest_allow() -> None:
    told = explained('connect "example.com" port 443')
    assert told.text().splitlines()[0] == "deny: no allow rule matches (S1)"
    nearest = told.to_json()["nearest_allow"]
    assert isinstance(nearest, dict)
    assert nearest["differs"]
    assert told.to_json()["reason"] == "no-allow-rule"
    assert not told.allowed


def test_a_request_is_shown_as_it_is_written() -> None:
    for request in (
        'read "/a\\*b" made via "/c", "/d"',
        'connect "x.example" port 443 protocol http method GET path "/v1" '
        'resolves "10.0.0.5" cname "y.example"',
        'call "s:t" with { "a": [1, 2.50, "x", null, true, { "b": {} }] }',
        "listen port 80",
        "syscall ptrace",
        'connect unix "/run/x.sock"',
    ):
        question = parse_question(request)
        assert parse_question(request_text(question)) == question


def test_a_group_lists_its_calls() -> None:
    assert "ptrace" in (group_text("@debug") or "").splitlines()
    assert group_text("@nothing") is None


def test_inherited_expectations_that_differ_say_why() -> None:
    policy = parse_policy(
        "language 1\n"
        'policy b { filesystem { allow read "/a" deny read "/c" }\n'
        '  test "t" { expect allow read "/a" expect deny read "/b" expect deny read "/c" } }\n'
        "policy p extends b { filesystem {\n"
        '  deny read "/a" allow read "/b" as fill override allow read "/c" as lift } }',
        name="p",
    )
    assert [difference.why for difference in inherited_differences(policy)] == [
        "stricter",
        "silence filled by p/fill",
        "lifted by p/lift",
    ]


def test_limits_above_the_machine_and_holds_without_gate_are_warned_of() -> None:
    small = MachineMeans(memory_bytes=2**30, cpu_thousandths=1000, has_commit_gate=False)
    large = MachineMeans(memory_bytes=2**40, cpu_thousandths=64_000, has_commit_gate=True)
    assert sorted({one.code for one in machine_warnings(moderate(), small)}) == ["W110", "W130"]
    assert machine_warnings(moderate(), large) == ()
