"""Runs the drill agent and judges each step from outside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypedDict, cast

from replicante._core import Engine
from replicante.errors import LaunchError
from replicante.sandbox import state
from replicante.sandbox.bindings import default_bindings
from replicante.sandbox.drill.ground import SECRET_VARIABLE, Ground
from replicante.sandbox.drill.steps import STEPS, Step
from replicante.sandbox.launch import Options, description_fd, prepare
from replicante.sandbox.load_reference import load_reference
from replicante.sandbox.shim import package_dir, require_supported_system, shim_path

POLICY = "drill"
TIME_LIMIT_S = 120.0

Verdict = Literal["as expected", "WRONG", "not run"]


class Report(TypedDict):
    """What the agent says of one step."""

    step: str
    done: bool
    missing: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Result:
    """One row of the drill's table.

    Attributes:
        step: what was tried.
        verdict: whether it came out right.
        happened: what happened, in a few words.
        rule: the deciding rule with its place, or the mechanism.
    """

    step: Step
    verdict: Verdict
    happened: str
    rule: str


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
        compiled = load_reference(POLICY, bindings).compiled_form()
        launch = prepare(_command(ground), compiled, bindings, directory, Options())
        descriptor = description_fd(launch, inheritable=False)
        try:
            done = subprocess.run(  # noqa: S603 -- the shim of this very package
                [shim_path(), "run", "--launch-fd", str(descriptor)],
                pass_fds=(descriptor, ground.leaked_fd),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=TIME_LIMIT_S,
                env={**os.environ, SECRET_VARIABLE: ground.word},
                check=False,
            )
        finally:
            os.close(descriptor)
        reports = _reports(done.stdout)
        if not reports:
            said = done.stderr.strip().splitlines() or ["it said nothing"]
            raise LaunchError(
                f"the drill did not start (exit code {done.returncode}): {said[-1]}",
                code="L026",
                help="`replicante doctor` says what this machine lacks",
            )
        engine = Engine(compiled)
        results = tuple(_judge(step, reports.get(step.name), ground, engine) for step in STEPS)
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


def _judge(step: Step, report: Report | None, ground: Ground, engine: Engine) -> Result:
    rule = _deciding_rule(step, ground, engine)
    if report is None:
        return Result(step, "WRONG", "the agent did not get to it", rule)
    if report["missing"]:
        return Result(step, "not run", report["detail"], rule)
    evidence = _EVIDENCE.get(step.name)
    if step.expected == "allowed":
        if not report["done"]:
            return Result(step, "WRONG", f"failed: {report['detail']}", rule)
        if evidence is not None and not evidence(ground):
            return Result(step, "WRONG", "done inside, but not so outside", rule)
        return Result(step, "as expected", "done", rule)
    leaked = ground.word in report["detail"]
    if report["done"] or leaked or (evidence is not None and evidence(ground)):
        return Result(step, "WRONG", f"it took place: {report['detail']}", rule)
    return Result(step, "as expected", f"refused: {_reason(report['detail'])}", rule)


def _reason(detail: str) -> str:
    """The error without the place, which the step's title names already."""
    text = detail.split(": ", 1)[-1]
    return text.split(": '", 1)[0]


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
        action, os.path.realpath(resource.format_map(places)) if "/" in resource else resource
    )
    rule = decision.rule
    if rule is None:
        return "no rule allows it (S1)"
    return f"{rule.id}  {os.path.basename(rule.file)}:{rule.line}:{rule.column}"


def _exists(*names: str) -> Callable[[Ground], bool]:
    return lambda ground: os.path.lexists(os.path.join(ground.workspace, *names))


def _holds(name: str, text: str) -> Callable[[Ground], bool]:
    def check(ground: Ground) -> bool:
        try:
            return (ground.workspace / name).read_text() == text
        except OSError:
            return False

    return check


def _has_special_file(ground: Ground) -> bool:
    """Whether the workspace holds a device or a file with setuid."""
    for entry in ground.workspace.iterdir():
        mode = entry.lstat().st_mode
        if mode & 0o6000 or mode & 0o170000 in (0o060000, 0o020000):
            return True
    return False


_EVIDENCE: Mapping[str, Callable[[Ground], bool]] = {
    "write-file": _exists("notes.txt"),
    "save-by-rename": _holds("notes.txt", "better work\n"),
    "make-tree": lambda ground: (
        (ground.workspace / "src/pkg").is_dir() and not any((ground.workspace / "src/pkg").iterdir())
    ),
    "run-shell": _holds("shell.txt", "one\n"),
    "use-git": _exists("repository", ".git", "HEAD"),
    "compile-and-run": _exists("answer"),
    "temporary-file": lambda _: not os.path.lexists("/tmp/drill-temporary.txt"),
    "write-home": lambda ground: not os.path.lexists(ground.home_file()),
    "copy-example": _holds("service/.env", "TOKEN=write-yours-here\n"),
    "rename-secret": lambda ground: not (ground.workspace / ".env").is_file(),
    "plant-hook": _exists(".git", "hooks", "pre-commit"),
    "write-program": lambda _: os.path.lexists("/usr/bin/replicante-drill"),
    "write-package": lambda _: os.path.lexists(os.path.join(package_dir(), "drill-was-here.py")),
    "make-setuid": _has_special_file,
    "make-device": _has_special_file,
    "signal-host": lambda ground: ground.sentinel.poll() is not None,
    "reach-host-loopback": lambda ground: ground.was_reached(ground.loopback),
    "reach-abstract-socket": lambda ground: ground.was_reached(ground.abstract),
    "reach-path-socket": lambda ground: ground.was_reached(ground.path_socket),
}
"""What is seen from outside: for work that it is there, for an attack that it took effect."""
