"""The drill's table and its agent agree."""

from __future__ import annotations

from replicante.agent.drill_agent import STEPS as DONE
from replicante.sandbox.drill.steps import STEPS as EXPECTED


def test_each_step_is_expected_and_done_in_the_same_order() -> None:
    assert [step.name for step in EXPECTED] == list(DONE)


def test_each_step_names_a_request_or_a_mechanism() -> None:
    assert [step.name for step in EXPECTED if (step.request is None) == (step.mechanism == "")] == []
