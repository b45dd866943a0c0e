"""Every decision, refusal and rate of the specification, through the compiled engine (Appendix B)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict, cast

import pytest

from replicante import PolicyError, RateLimit, parse_policy
from replicante.policy.requests import ask


class Decision(TypedDict):
    id: str
    policy: str
    target: str
    request: str
    expect: str


class Refusal(TypedDict):
    id: str
    code: str
    policy: str


class Rate(TypedDict):
    id: str
    rate: str
    burst: int
    seconds: list[float]
    expect: list[bool]


class Vectors(TypedDict):
    bindings: dict[str, str]
    host_sets: dict[str, list[str]]
    decisions: list[Decision]
    errors: list[Refusal]
    rates: list[Rate]


_PATH = Path(__file__).parents[2] / "vectors" / "policy-vectors.json"
VECTORS = cast("Vectors", json.loads(_PATH.read_text(encoding="utf-8")))
_UNIT_SECONDS: Mapping[str, int] = {"s": 1, "min": 60, "h": 3600, "day": 86400}


def test_the_file_is_complete() -> None:
    assert (len(VECTORS["decisions"]), len(VECTORS["errors"]), len(VECTORS["rates"])) == (162, 33, 5)


@pytest.mark.parametrize("vector", VECTORS["decisions"], ids=lambda vector: vector["id"])
def test_decision(vector: Decision) -> None:
    policy = parse_policy(
        vector["policy"], name=vector["target"], variables=VECTORS["bindings"], host_sets=VECTORS["host_sets"]
    )
    decision = ask(policy.compile(), vector["request"], VECTORS["bindings"])
    assert decision.effect == vector["expect"], decision.reason


@pytest.mark.parametrize("vector", VECTORS["errors"], ids=lambda vector: vector["id"])
def test_refusal(vector: Refusal) -> None:
    with pytest.raises(PolicyError) as refused:
        parse_policy(vector["policy"], variables=VECTORS["bindings"], host_sets=VECTORS["host_sets"])
    errors = [diagnostic for diagnostic in refused.value.diagnostics if diagnostic.severity == "error"]
    assert errors[0].code == vector["code"]


@pytest.mark.parametrize("vector", VECTORS["rates"], ids=lambda vector: vector["id"])
def test_rate(vector: Rate) -> None:
    count, unit = vector["rate"].split("/")
    limit = RateLimit(int(count), _UNIT_SECONDS[unit], vector["burst"])
    answers = [limit.check(round(second * 1_000_000_000)) for second in vector["seconds"]]
    assert answers == vector["expect"]
