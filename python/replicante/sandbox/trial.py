"""A start on trial: what the launcher says of a policy on this machine, before a program is run under it.

The launcher alone knows which enforcers are there; so it is asked, with a program that can't be executed.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from replicante._core import pack_policy
from replicante.errors import LaunchError
from replicante.events.journal import Journal, find_journal
from replicante.policy.model import Policy
from replicante.sandbox.configured_workspace import configured_workspace
from replicante.sandbox.launch import HandedOver, Launch, Options, prepare
from replicante.sandbox.shim import require_supported_system
from replicante.sandbox.state import open_state

State = Literal["held", "weaker", "pending"]

TRIAL_LIMIT_S = 60.0
"""A start takes some hundredths of a second; searching a large tree for names takes up to two seconds."""

_NO_PROGRAM = "/"
"""A directory: everything is set up and the ledger written, and then nothing of anybody's is executed."""

_REFUSAL = re.compile(r"^error\[(L\d{3})\]: (?:not started: )?(.*)$", re.MULTILINE)
_OF_THE_POLICY = frozenset({"L010", "L011"})


@dataclass(frozen=True, slots=True)
class Guarantee:
    """A line of the launcher's ledger.

    Attributes:
        name: what is promised, in the launcher's words.
        state: held, held by an accepted stand-in, or waiting for its enforcer.
        by: what holds it, or what is done meanwhile.
    """

    name: str
    state: State
    by: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why nothing would be run: a mechanism can't be set up, or a rule has no enforcer.

    Attributes:
        what: what is wrong, in one line; a rule is named by its id and place.
        help: what to do about it.
    """

    what: str
    help: str


def trial(policy: Policy, bindings: Mapping[str, str]) -> tuple[Guarantee, ...] | Refusal:
    """Sets a run up under a policy, and gives the launcher's ledger.

    The run's journal is removed. Nobody is asked whether the policy is trusted, since nothing is executed.

    Args:
        policy: a loaded policy.
        bindings: all eight variables; the workspace of an older configuration goes before (§17).

    Raises:
        LaunchError: no run can be started here, whatever the policy says.
    """
    require_supported_system()
    bound = {**bindings, **policy.bindings.variables}
    directory = open_state()
    private = None
    if bound["workspace"] != bindings["workspace"]:
        bound["workspace"], private = configured_workspace(bound["workspace"], directory)
    packed = pack_policy(policy.compiled_form)
    launch = prepare([_NO_PROGRAM], packed, bound, directory, Options(directory="/", workspace=private))
    try:
        said = _start(launch)
        refusal = _REFUSAL.search(said)
        if refusal is not None:
            return _refused(refusal.group(1), refusal.group(2))
        return _ledger(find_journal(launch.run_dir, directory), said)
    finally:
        shutil.rmtree(launch.run_dir, ignore_errors=True)


def _start(launch: Launch) -> str:
    """Runs the shim; gives what it says on standard error."""
    try:
        with HandedOver(launch, "run") as handed:
            done = subprocess.run(  # noqa: S603 -- the shim of this very package
                handed.command,
                pass_fds=(handed.descriptor,),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                timeout=TRIAL_LIMIT_S,
                check=False,
            )
    except (OSError, subprocess.SubprocessError) as error:
        raise LaunchError(
            f"the shim can't be asked: {error}", code="L001", help="run `replicante doctor`"
        ) from error
    return done.stderr.decode(errors="replace")


def _refused(code: str, text: str) -> Refusal:
    what, _, help = text.rpartition("; ")
    if code not in _OF_THE_POLICY:
        raise LaunchError(what or help, code=code, help=help)
    return Refusal(what or help, help if what else "run `replicante doctor`")


def _ledger(journal: Path, said: str) -> tuple[Guarantee, ...]:
    for event in Journal(journal).read():
        if event.kind == "run.ledger":
            rows = cast("list[dict[str, str]]", json.loads(event.text)["guarantees"])
            return tuple(Guarantee(row["name"], cast("State", row["state"]), row["by"]) for row in rows)
    last = said.strip().splitlines()[-1:] or ["it said nothing"]
    raise LaunchError(
        f"the shim ended before its ledger was written: {last[0]}",
        code="L001",
        help="run `replicante doctor`",
    )
