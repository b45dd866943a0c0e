"""Judges the drill's steps: an allowed one must have worked, a forbidden one must have had no effect."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypedDict

from replicante.sandbox.drill.ground import Ground
from replicante.sandbox.drill.steps import Step
from replicante.sandbox.shim import package_dir

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


def judge(step: Step, report: Report | None, ground: Ground, rule: str) -> Result:
    """Judges one step by what the agent says and by what is seen outside.

    Args:
        step: what was tried.
        report: the agent's own word, `None` if it did not get there.
        ground: where to look for evidence.
        rule: what decides the step, for the table.
    """
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
    "reach-server": lambda ground: "/work" in ground.asked,
    "ask-for-other-host": lambda ground: "/stolen" in ground.asked,
    "reach-host-loopback": lambda ground: ground.was_reached(ground.loopback),
    "reach-abstract-socket": lambda ground: ground.was_reached(ground.abstract),
    "reach-path-socket": lambda ground: ground.was_reached(ground.path_socket),
}
"""What is seen from outside: for work that it is there, for an attack that it took effect."""
