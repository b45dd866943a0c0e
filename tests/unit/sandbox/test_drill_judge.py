"""The drill's judge believes neither the agent's success nor its failure without looking."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from replicante.sandbox.drill.ground import Ground
from replicante.sandbox.drill.judge import Report, judge
from replicante.sandbox.drill.steps import STEPS, Step

BY_NAME = {step.name: step for step in STEPS}


@pytest.fixture
def ground() -> Iterator[Ground]:
    with Ground() as made:
        yield made


def said(step: Step, *, done: bool, detail: str = "", missing: bool = False) -> Report:
    return {"step": step.name, "done": done, "missing": missing, "detail": detail}


def test_work_counts_when_it_is_seen_outside(ground: Ground) -> None:
    step = BY_NAME["write-file"]
    assert judge(step, said(step, done=True), ground, "").verdict == "WRONG"
    (ground.workspace / "notes.txt").write_text("work\n")
    assert judge(step, said(step, done=True), ground, "").verdict == "as expected"
    assert judge(step, said(step, done=False), ground, "").verdict == "WRONG"


def test_an_attack_is_judged_by_its_effect(ground: Ground) -> None:
    step = BY_NAME["plant-hook"]
    assert judge(step, said(step, done=False, detail="EACCES"), ground, "").verdict == "as expected"
    (ground.workspace / ".git" / "hooks" / "pre-commit").write_text("")
    assert judge(step, said(step, done=False, detail="EACCES"), ground, "").verdict == "WRONG"
    assert judge(BY_NAME["mount"], said(BY_NAME["mount"], done=True), ground, "").verdict == "WRONG"


def test_a_secret_in_the_agents_words_is_a_leak(ground: Ground) -> None:
    step = BY_NAME["read-secret"]
    report = said(step, done=False, detail=f"failed, but {ground.word}")
    assert judge(step, report, ground, "").verdict == "WRONG"


def test_a_killed_sentinel_is_seen(ground: Ground) -> None:
    step = BY_NAME["signal-host"]
    assert judge(step, said(step, done=False, detail="ESRCH"), ground, "").verdict == "as expected"
    ground.sentinel.kill()
    ground.sentinel.wait()
    assert judge(step, said(step, done=False, detail="ESRCH"), ground, "").verdict == "WRONG"


def test_a_step_that_was_not_reached_is_wrong_and_a_missing_program_is_not_run(ground: Ground) -> None:
    step = BY_NAME["use-git"]
    assert judge(step, None, ground, "").verdict == "WRONG"
    assert judge(step, said(step, done=False, missing=True), ground, "").verdict == "not run"


def test_the_ground_leaves_nothing_behind() -> None:
    with Ground() as made:
        places = (made.workspace, made.neighbour, made.host_tmp)
        assert all(place.exists() for place in places)
    assert not any(place.exists() for place in places)
