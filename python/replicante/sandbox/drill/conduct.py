"""Runs the drill agent in a sandbox and has each step judged from outside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import cast

from replicante._core import Engine, pack_policy
from replicante.errors import LaunchError
from replicante.sandbox import state
from replicante.sandbox.bindings import default_bindings
from replicante.sandbox.drill.ground import SECRET_VARIABLE, Ground
from replicante.sandbox.drill.judge import Report, Result, judge
from replicante.sandbox.drill.steps import STEPS, Step
from replicante.sandbox.launch import HandedOver, Options, prepare
from replicante.sandbox.load_reference import load_reference
from replicante.sandbox.shim import require_supported_system

TIME_LIMIT_S = 120.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """A whole drill.

    Attributes:
        results: in the order of the steps.
        talk: what the run said on standard error: ledger and denials.
        exit_code: of the run.
    """

    results: tuple[Result, ...]
    talk: str
    exit_code: int

    @property
    def judged(self) -> int:
        """How many steps ran."""
        return sum(result.verdict != "not run" for result in self.results)

    @property
    def right(self) -> int:
        """How many of them came out as expected."""
        return sum(result.verdict == "as expected" for result in self.results)


def conduct() -> Outcome:
    """Runs the drill in a fresh temporary workspace; blocks until it is over.

    Raises:
        LaunchError: the sandbox can't be set up.
        PolicyError: the drill's policy has errors.
    """
    require_supported_system()
    directory = state.open_state()
    with Ground() as ground:
        bindings = default_bindings(os.path.realpath(ground.workspace), state.new_run_id())
        policy = load_reference(ground.policy, bindings)
        packed = pack_policy(policy.compiled_form)
        launch = prepare(_command(ground), packed, bindings, directory, Options())
        try:
            with HandedOver(launch, "run") as handed:
                done = subprocess.run(  # noqa: S603 -- the shim of this very package
                    handed.command,
                    pass_fds=(handed.descriptor, ground.leaked_fd),
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    text=True,
                    errors="replace",
                    timeout=TIME_LIMIT_S,
                    env={**os.environ, SECRET_VARIABLE: ground.word},
                    check=False,
                )
        except subprocess.TimeoutExpired as error:
            raise LaunchError(
                f"the drill was ended after {TIME_LIMIT_S:.0f} s",
                code="L026",
                help="report it, with the machine's load",
            ) from error
        reports = _reports(done.stdout)
        if not reports:
            said = done.stderr.strip().splitlines() or ["it said nothing"]
            raise LaunchError(
                f"the drill did not start (exit code {done.returncode}): {said[-1]}",
                code="L026",
                help="`replicante doctor` says what this machine lacks",
            )
        engine = policy.compile()
        results = tuple(
            judge(step, reports.get(step.name), ground, _deciding_rule(step, ground, engine))
            for step in STEPS
        )
        return Outcome(results, done.stderr, done.returncode)


def _command(ground: Ground) -> list[str]:
    """The agent under an interpreter that is visible inside, not under a virtual environment's."""
    return [
        _interpreter(),
        "-I",
        str(ground.workspace / "drill_agent.py"),
        str(ground.workspace / "places.json"),
    ]


def _interpreter() -> str:
    return os.path.realpath(sys.executable)


def _reports(output: str) -> dict[str, Report]:
    reports: dict[str, Report] = {}
    for line in output.splitlines():
        if line.startswith("{"):
            report = cast("Report", json.loads(line))
            reports[report["step"]] = report
    return reports


def _deciding_rule(step: Step, ground: Ground, engine: Engine) -> str:
    if step.request is None:
        return step.mechanism
    action, resource = step.request
    places = {
        "workspace": os.path.realpath(ground.workspace),
        "neighbour": os.path.realpath(ground.neighbour),
        "home": str(ground.home_file().parent),
        "python": _interpreter(),
    }
    decision = engine.decide(
        action,
        os.path.realpath(resource.format_map(places)) if "/" in resource else resource,
        port=ground.server_port if action == "connect" else None,
        resolves=["127.0.0.1"] if resource == "localhost" else None,
    )
    rule = decision.rule
    if rule is None:
        return "no rule allows it (S1)"
    return f"{rule.id}  {os.path.basename(rule.file)}:{rule.line}:{rule.column}"
