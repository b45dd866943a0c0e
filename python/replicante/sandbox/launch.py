"""The launch description, and handing it to the shim (docs/reference/compiled-form.md).

The description is written by hand rather than by `json`, whose import costs a tenth of a whole start; its
only values are strings, booleans, integers and lists or maps of strings.
"""

from __future__ import annotations

import os
import sys
from _json import encode_basestring_ascii

from replicante._core import __version__
from replicante.errors import LaunchError
from replicante.sandbox.shim import package_dir, shim_path
from replicante.sandbox.state import config_path, kept_dir, make_run_dir, prune_runs, workspace_key

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import NoReturn

PROTOCOL = 2


class Launch:
    """One run that is ready to start: the description's bytes and the run's directory.

    Attributes:
        description: for the shim: UTF-8 JSON, a zero byte, the packed policy.
        run: the run's identifier.
        run_dir: where its journal will be.
    """

    __slots__ = ("description", "run", "run_dir")

    def __init__(self, description: bytes, run: str, run_dir: str) -> None:
        self.description = description
        self.run = run
        self.run_dir = run_dir


class Options:
    """What a launch may be told beside the policy.

    Attributes:
        no_weaker: refuse every stand-in, whatever the policy accepts (D6).
        explain: a line on standard error for each denial, as it happens.
        report: form of the report at the end, `text` or `json`.
        visibility: where asking for a name that is not shown is an event, `usual` or `whole`.
        directory: where the program starts; None is the current directory, if it lies in the workspace.
        workspace: the host's directory that stands for the workspace; None is the one of that name.
    """

    __slots__ = ("directory", "explain", "no_weaker", "report", "visibility", "workspace")

    def __init__(
        self,
        *,
        no_weaker: bool = False,
        explain: bool = False,
        report: str = "text",
        visibility: str = "usual",
        directory: str | None = None,
        workspace: str | None = None,
    ) -> None:
        self.workspace = workspace
        self.no_weaker = no_weaker
        self.directory = directory
        self.explain = explain
        self.report = report
        self.visibility = visibility


def prepare(
    argv: Sequence[str], packed: bytes, bindings: Mapping[str, str], state: str, options: Options
) -> Launch:
    """Makes the directories of a run and describes it.

    Args:
        argv: the program and its arguments; the program is looked up along `PATH` inside.
        packed: the packed form of the policy.
        bindings: all eight variables (`bindings.default_bindings`).
        state: the state directory (`state.open_state`).
        options: how to run it.

    Raises:
        LaunchError: L021 when a directory can't be made, L023 for an argument that is not UTF-8.
    """
    if not argv or not argv[0]:
        raise LaunchError("no program is named", code="L023", help="write it after `--`")
    workspace, run = bindings["workspace"], bindings["run"]
    key = workspace_key(workspace)
    prune_runs(state)
    run_dir = make_run_dir(state, run)
    parts = {
        "protocol": str(PROTOCOL),
        "version": _string(__version__),
        "argv": _list(argv),
        "cwd": _string(options.directory or _working_directory(workspace)),
        "bindings": _map(bindings),
        "run": _string(run),
        "run_dir": _string(run_dir),
        "workspace": "null" if options.workspace is None else _string(options.workspace),
        "private_home": _string(kept_dir(state, "homes", key)),
        "cache": _string(kept_dir(state, "cache", key)),
        "uids": _string(os.path.join(state, "uids")),
        "beneath": _list([state, config_path()]),
        "read_only": _list(_own_code(workspace)),
        "no_weaker": _boolean(options.no_weaker),
        "explain": _boolean(options.explain),
        "report": _string(options.report),
        "visibility": _string(options.visibility),
    }
    description = "{" + ",".join(f'"{name}":{value}' for name, value in parts.items()) + "}"
    return Launch(description.encode() + b"\0" + packed, run, run_dir)


def _string(text: str) -> str:
    # An undecodable byte came in as a lone surrogate, which no strict reader takes.
    if not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text):
        raise LaunchError(
            f"not UTF-8: {text.encode('utf-8', 'backslashreplace').decode()}",
            code="L023",
            help="names and arguments are UTF-8 text",
        )
    return encode_basestring_ascii(text)


def _list(values: Sequence[str]) -> str:
    return "[" + ",".join(_string(value) for value in values) + "]"


def _map(values: Mapping[str, str]) -> str:
    return "{" + ",".join(f"{_string(name)}:{_string(value)}" for name, value in values.items()) + "}"


def _boolean(value: bool) -> str:
    return "true" if value else "false"


def _working_directory(workspace: str) -> str:
    """The current directory where it lies in the workspace, else the workspace."""
    here = os.path.realpath(os.getcwd())
    return here if _contains(workspace, here) else workspace


def _own_code(workspace: str) -> list[str]:
    """What this process runs from: who can write it is outside at the next start.

    Raises:
        LaunchError: L025 when Python looks for modules in the workspace or above it.
    """
    candidates = [package_dir(), os.path.dirname(package_dir())]
    for path in sys.path:
        if path and os.path.isdir(path):
            if _contains(os.path.realpath(path), workspace):
                raise LaunchError(
                    f"Python looks for modules in {path}, which the agent could write",
                    code="L025",
                    help="unset PYTHONPATH, or choose another workspace",
                )
            candidates.append(path)
    # A prefix such as `/usr` may hold the workspace as well: then only its own parts are meant.
    prefix = os.path.realpath(sys.prefix)
    parts = ("bin", "lib", "lib64") if _contains(prefix, workspace) else ("",)
    candidates += [os.path.join(prefix, part) for part in parts]
    # INVARIANT: no entry lies below another, so that the shim mounts each tree once.
    found: list[str] = []
    for path in sorted({os.path.realpath(path) for path in candidates if os.path.isdir(path)}):
        if not any(_contains(above, path) for above in found):
            found.append(path)
    return found


def _contains(directory: str, path: str) -> bool:
    return path == directory or path.startswith(os.path.join(directory, ""))


def description_fd(launch: Launch, *, inheritable: bool) -> int:
    """A descriptor from which the shim reads the description, positioned at its start.

    Args:
        launch: of `prepare`.
        inheritable: whether an exec keeps it open.
    """
    flags = 0 if inheritable else os.MFD_CLOEXEC
    descriptor = os.memfd_create("replicante-launch", flags)
    try:
        data = memoryview(launch.description)
        while data:
            data = data[os.write(descriptor, data) :]
        os.lseek(descriptor, 0, os.SEEK_SET)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


class HandedOver:
    """A description that a shim which is a child inherits, while the `with` block lasts.

    Attributes:
        descriptor: to be passed on to the child.
        command: what starts the shim.
    """

    __slots__ = ("command", "descriptor")

    def __init__(self, launch: Launch, task: str) -> None:
        """Opens the descriptor.

        Args:
            launch: of `prepare`.
            task: `run`, or `plan` to have printed what would be set up.
        """
        self.descriptor = description_fd(launch, inheritable=False)
        self.command = _command(task, self.descriptor)

    def __enter__(self) -> HandedOver:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.descriptor)


def _command(task: str, descriptor: int) -> list[str]:
    return [shim_path(), task, "--launch-fd", str(descriptor)]


def become_shim(launch: Launch, task: str) -> NoReturn:
    """Replaces this process by the shim, so that no interpreter stands beside the agent.

    Args:
        launch: of `prepare`.
        task: `run`, or `plan` to print what would be set up.

    Raises:
        LaunchError: L001 when the shim can't be started.
    """
    command = _command(task, description_fd(launch, inheritable=True))
    try:
        os.execv(command[0], command)  # noqa: S606 -- no shell is wanted
    except OSError as error:
        raise LaunchError(
            f"the shim can't be started: {command[0]}: {error.strerror}",
            code="L001",
            help="reinstall, and not on a file system mounted noexec",
        ) from error
