"""Which guarantees this machine can hold, before anything runs (architecture 3).

The kernel's abilities are asked by the shim (`replicante-shim probe`), which is what would use them;
what is said about them here is in the words of a guarantee, with the one change that helps.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal, TypedDict, cast

from replicante._core import __version__
from replicante.errors import LaunchError, PolicyError
from replicante.sandbox import apparmor, state
from replicante.sandbox.bindings import default_bindings, resolve_workspace
from replicante.sandbox.find_policy import operator_default
from replicante.sandbox.load_reference import load_reference
from replicante.sandbox.shim import package_dir, require_supported_system, shim_path

Degree = Literal["held", "weaker", "not held"]
PROBE_LIMIT_S = 20.0


class Finding(TypedDict):
    """One mechanism, as the shim reports it."""

    mechanism: str
    present: bool
    found: str
    help: str


@dataclass(frozen=True, slots=True)
class Guarantee:
    """What can be promised on this machine.

    Attributes:
        name: short word of the mechanism.
        text: the guarantee in one sentence.
        degree: held, held by a stand-in that the default policy accepts, or not held.
        found: what was found.
        help: the one change that helps; empty where nothing is to be done.
    """

    name: str
    text: str
    degree: Degree
    found: str
    help: str


@dataclass(frozen=True, slots=True)
class _Meaning:
    """What a mechanism is for, and which accepted names (E3) stand in for it; if none, it must be there."""

    text: str
    stand_ins: tuple[str, ...]


MEANINGS = {
    "namespaces": _Meaning("files, processes and network outside the policy do not exist inside", ()),
    "landlock": _Meaning("file rights hold a second time, independent of the mounts", ("landlock",)),
    "seccomp": _Meaning("system calls that the policy refuses fail, and are events", ()),
    "fuse": _Meaning("refused and absent reads are events", ("read-events",)),
    "cgroup": _Meaning(
        "memory, processes, CPU and I/O of a run are bounded as a whole",
        ("memory", "processes", "cpu", "io", "freeze"),
    ),
}


def examine() -> list[Guarantee]:
    """Asks the machine and the installation.

    Returns:
        All guarantees, the installation's own first. A run under the default policy would start if none of
        them is "not held".
    """
    guarantees = [_system()]
    if guarantees[0].degree == "not held":
        return guarantees
    guarantees += [_shim(), _state_directory(), _default_policy()]
    if any(guarantee.degree == "not held" and guarantee.name == "shim" for guarantee in guarantees):
        return guarantees
    accepted = _accepted()
    guarantees += [judge(finding, accepted) for finding in probe()]
    return guarantees


def probe() -> list[Finding]:
    """What the shim finds out about the kernel.

    Raises:
        LaunchError: L001 when the shim does not answer.
    """
    try:
        done = subprocess.run(  # noqa: S603 -- the shim of this very package
            [shim_path(), "probe"],
            capture_output=True,
            text=True,
            timeout=PROBE_LIMIT_S,
            check=True,
        )
        return cast("list[Finding]", json.loads(done.stdout))
    except (OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError) as error:
        raise LaunchError(
            f"the shim does not answer: {error}", code="L001", help="pip install --force-reinstall replicante"
        ) from error


def judge(finding: Finding, accepted: Sequence[str]) -> Guarantee:
    """Says what a finding means under a policy.

    Args:
        finding: of `probe`.
        accepted: the stand-ins that the policy accepts (E3).
    """
    meaning = MEANINGS[finding["mechanism"]]
    degree: Degree = "held"
    if not finding["present"]:
        missing = [name for name in meaning.stand_ins if name not in accepted]
        degree = "weaker" if meaning.stand_ins and not missing else "not held"
    help = "" if degree == "held" else finding["help"]
    return Guarantee(finding["mechanism"], meaning.text, degree, finding["found"], help)


def fix_command(guarantee: Guarantee) -> str | None:
    """The shell command that makes a guarantee hold; None where one command does not.

    Args:
        guarantee: of `examine`.
    """
    if guarantee.degree == "held":
        return None
    match guarantee.name:
        case "namespaces" if apparmor.restricts():
            return apparmor.load_command(shim_path())
        case "namespaces":
            return "sudo sysctl -w user.max_user_namespaces=15000"
        case "fuse" if not os.path.exists("/dev/fuse"):
            return "sudo modprobe fuse"
        case "fuse":
            return "sudo chmod 0666 /dev/fuse"
        case _:
            return None


def _system() -> Guarantee:
    text = "agents can run on this system"
    try:
        require_supported_system()
    except LaunchError as error:
        return Guarantee("system", text, "not held", str(error), error.help or "")
    uname = os.uname()
    return Guarantee("system", text, "held", f"Linux {uname.release} on {uname.machine}", "")


def _shim() -> Guarantee:
    text = f"the shim is the one that came with replicante {__version__}"
    try:
        path = shim_path()
        found = os.stat(path)
        with open(path, "rb") as file:
            digest = sha256(file.read()).hexdigest()
        done = subprocess.run(  # noqa: S603 -- the shim of this very package
            [path, "--version"], capture_output=True, text=True, timeout=PROBE_LIMIT_S, check=True
        )
    except LaunchError as error:
        return Guarantee("shim", text, "not held", str(error), error.help or "")
    except (OSError, subprocess.SubprocessError) as error:
        return Guarantee(
            "shim", text, "not held", f"it can't be started: {error}", "move it off a noexec mount"
        )
    where = f"{path}, owner {found.st_uid}, mode {found.st_mode & 0o7777:04o}, sha256 {digest[:16]}"
    if __version__ not in done.stdout.split():
        return Guarantee(
            "shim", text, "not held", f"it answers {done.stdout.strip()}", "reinstall replicante"
        )
    if found.st_mode & 0o022 or found.st_uid not in (0, os.geteuid()):
        return Guarantee("shim", text, "not held", f"others can change it: {where}", f"chmod go-w {path}")
    if package_dir().startswith(os.path.join(os.getcwd(), "")):
        return Guarantee(
            "shim", text, "held", f"{where}; it lies below the current directory", "start elsewhere"
        )
    return Guarantee("shim", text, "held", where, "")


def _state_directory() -> Guarantee:
    text = "runs, private homes and consents lie where nobody else can change them"
    try:
        return Guarantee("state", text, "held", state.open_state(), "")
    except LaunchError as error:
        return Guarantee("state", text, "not held", str(error), error.help or "")


def _default_policy() -> Guarantee:
    reference = operator_default(state.config_path())
    text = "the default policy loads, its tests included"
    try:
        policy = load_reference(reference, _bindings())
    except PolicyError as error:
        first = error.diagnostics[0]
        return Guarantee(
            "policy",
            text,
            "not held",
            f"{first.code}: {first.message}",
            f"replicante policy check {reference}",
        )
    except LaunchError as error:
        return Guarantee("policy", text, "not held", str(error), error.help or "")
    return Guarantee("policy", text, "held", f"{policy.name} sha256:{policy.identity[:16]}", "")


def _accepted() -> Sequence[str]:
    try:
        return load_reference(operator_default(state.config_path()), _bindings()).accept
    except (PolicyError, LaunchError):
        return ()


def _bindings() -> dict[str, str]:
    return default_bindings(resolve_workspace(None), state.new_run_id())
