"""Every policy that ships loads with its tests; the built-ins are what the specification says (§16)."""

from __future__ import annotations

import pytest

from replicante import load_policy
from replicante.policy.hostsets import shipped_host_sets
from replicante.policy.shipped import BUILT_IN, shipped_names
from replicante.policy.tests_run import coverage

BINDINGS = [
    {
        "workspace": "/home/ada/shop",
        "home": "/home/ada",
        "tmp": "/tmp",
        "cache": "/agent/cache",
        "runtime": "/agent/run",
        "agent": "coder",
        "run": "r1",
        "user": "ada",
    },
    {
        "workspace": "/srv/[odd] {name}*",
        "home": "/root",
        "tmp": "/tmp",
        "cache": "/agent/cache",
        "runtime": "/agent/run",
        "agent": "a",
        "run": "r2",
        "user": "root",
    },
]


@pytest.mark.parametrize("variables", BINDINGS, ids=["ordinary", "wildcards in a path"])
@pytest.mark.parametrize("name", shipped_names())
def test_loads_with_its_tests(name: str, variables: dict[str, str]) -> None:
    policy = load_policy(name, variables=variables)
    own_tests = [test for test in policy.tests if test.policy == name]
    assert own_tests, "a policy that ships has tests of its own"
    assert not [warning.render() for warning in policy.warnings if warning.code == "W122"]


@pytest.mark.parametrize("name", shipped_names())
def test_trust_digest_is_equal_for_every_user(name: str) -> None:
    first, second = (load_policy(name, variables=variables) for variables in BINDINGS)
    assert first.trust_digest == second.trust_digest
    if "workspace" in first.bindings.variables:
        assert first.identity != second.identity


def test_built_ins_ship() -> None:
    assert set(BUILT_IN) <= set(shipped_names())


@pytest.mark.parametrize(
    ("name", "home"), [("strict", "fresh"), ("moderate", "private"), ("permissive", "real")]
)
def test_home_of_the_modes(name: str, home: str) -> None:
    assert load_policy(name, variables=BINDINGS[0]).home == home


@pytest.mark.parametrize("name", ["strict", "moderate", "permissive"])
def test_modes_run_without_cgroups_and_fuse(name: str) -> None:
    accepted = load_policy(name, variables=BINDINGS[0]).accept
    assert {"memory", "processes", "cpu", "io", "freeze", "read-events"} <= set(accepted)


def test_baseline_grants_nothing() -> None:
    policy = load_policy("baseline", variables=BINDINGS[0])
    assert not [rule.id for rule in policy.rules if rule.effect in ("allow", "override_allow")]


def test_coverage_names_the_rules_that_no_test_decides_by() -> None:
    counted = coverage(load_policy("strict", variables=BINDINGS[0]))
    assert "strict/workspace" in counted.covered
    assert not set(counted.covered) & set(counted.not_covered)


@pytest.mark.parametrize("name", shipped_names())
def test_loads_with_its_tests_when_an_operator_replaced_the_host_sets(name: str) -> None:
    mirrors = {host_set: ["mirror.example"] for host_set in shipped_host_sets()}
    assert load_policy(name, variables=BINDINGS[0], host_sets=mirrors).name == name


@pytest.mark.parametrize(
    ("name", "host"),
    [
        ("moderate", "github.com"),
        ("moderate", "pypi.org"),
        ("ci", "pypi.org"),
        ("coding-agent", "api.anthropic.com"),
        ("research-agent", "api.openai.com"),
    ],
)
def test_the_host_sets_that_ship_are_reachable(name: str, host: str) -> None:
    shipped = load_policy(name, variables=BINDINGS[0]).compile()
    assert shipped.decide("connect", host, port=443, method="POST").effect == "allow"
    mirrors = {host_set: ["mirror.example"] for host_set in shipped_host_sets()}
    replaced = load_policy(name, variables=BINDINGS[0], host_sets=mirrors).compile()
    assert replaced.decide("connect", host, port=443, method="POST").effect == "deny"
