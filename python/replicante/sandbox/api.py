"""The library's way to start a sandbox: `run` and `Sandbox`.

```python
from replicante import Sandbox, run

completed = run(["python3", "-c", "print(1)"], policy="strict", workspace="/srv/work")
assert completed.returncode == 0
```
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from typing import IO, Any, Literal, cast

from replicante.errors import LaunchError
from replicante.sandbox.launch import HandedOver, Launch
from replicante.sandbox.start import StartOptions, make_ready

Stream = int | IO[Any] | None
"""What `subprocess.Popen` takes for a standard stream."""


class Sandbox:
    """One way to run programs: a policy and a workspace. Each `spawn` is a run of its own.

    Args:
        policy: name of a policy that ships, `FILE` or `FILE:NAME`; `None` looks for one as `replicante run`
            does.
        workspace: directory to work on; `None` is the repository's top, else the current directory.
        variables: values of policy variables.
        no_weaker: refuse every stand-in, whatever the policy accepts.
        explain: have each denial said at once on the run's standard error.
        report: form of the report at the end of a run.
        visibility: `whole` has every name that is refused seen, at a cost for absolute paths.
    """

    def __init__(
        self,
        policy: str | os.PathLike[str] | None = None,
        workspace: str | os.PathLike[str] | None = None,
        *,
        variables: Mapping[str, str] | None = None,
        no_weaker: bool = False,
        explain: bool = False,
        report: Literal["text", "json"] = "text",
        visibility: Literal["usual", "whole"] = "usual",
    ) -> None:
        self._options = StartOptions(
            policy=None if policy is None else _reference(policy),
            workspace=None if workspace is None else os.fspath(workspace),
            settings=variables,
            no_weaker=no_weaker,
            explain=explain,
            report=report,
            visibility=visibility,
        )

    def spawn(
        self,
        argv: Sequence[str],
        *,
        stdin: Stream = None,
        stdout: Stream = None,
        stderr: Stream = None,
        env: Mapping[str, str] | None = None,
    ) -> Run:
        """Starts a program and returns at once.

        Args:
            argv: the program and its arguments; the program is looked up along `PATH` inside.
            stdin: as for `subprocess.Popen`; likewise `stdout` and `stderr`.
            stdout: see `stdin`.
            stderr: see `stdin`.
            env: the environment of which the policy keeps what it keeps; default: this process's.

        Raises:
            PolicyError: the policy has errors.
            ConsentError: a repository's own policy needs a person's consent.
            LaunchError: the run can't be set up.
        """
        launch = make_ready(argv, self._options)
        with HandedOver(launch, "run") as handed:
            process = subprocess.Popen(  # noqa: S603 -- the shim of this very package
                handed.command,
                pass_fds=(handed.descriptor,),
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                env=None if env is None else dict(env),
            )
        return Run(process, launch)

    def plan(self, argv: Sequence[str]) -> dict[str, Any]:
        """What a run of the program would set up: files, rights, calls, limits, ledger. Nothing is run.

        Args:
            argv: as for `spawn`.

        Raises:
            PolicyError: the policy has errors.
            ConsentError: a repository's own policy needs a person's consent.
            LaunchError: the run can't be set up.
        """
        with HandedOver(make_ready(argv, self._options), "plan") as handed:
            done = subprocess.run(  # noqa: S603 -- the shim of this very package
                handed.command,
                pass_fds=(handed.descriptor,),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
            )
        if done.returncode != 0:
            said = done.stderr.decode(errors="replace").strip()
            raise LaunchError(said, code="L011", help="run `replicante doctor`")
        return cast("dict[str, Any]", json.loads(done.stdout))

    def run(
        self,
        argv: Sequence[str],
        *,
        input: bytes | None = None,
        capture_output: bool = False,
        timeout_s: float | None = None,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[bytes]:
        """Runs a program to its end.

        Args:
            argv: the program and its arguments.
            input: bytes for its standard input.
            capture_output: whether output is returned instead of shown.
            timeout_s: seconds after which the run is ended and `subprocess.TimeoutExpired` raised.
            env: as for `spawn`.

        Returns:
            The exit code of policy-language §14 and, if captured, the output.
        """
        pipe = subprocess.PIPE if capture_output else None
        run = self.spawn(
            argv, stdin=subprocess.PIPE if input is not None else None, stdout=pipe, stderr=pipe, env=env
        )
        with run.process as process:
            try:
                out, err = process.communicate(input, timeout=timeout_s)
            except BaseException:
                # Everything in the run dies with its shim.
                process.kill()
                raise
        return subprocess.CompletedProcess(list(argv), process.returncode, out, err)


class Run:
    """A run that was started.

    Attributes:
        process: the shim; its exit code is the run's, and killing it ends everything inside.
        id: the run's identifier, for `replicante events`.
        directory: where its journal is written.
    """

    def __init__(self, process: subprocess.Popen[bytes], launch: Launch) -> None:
        self.process = process
        self.id = launch.run
        self.directory = launch.run_dir

    def wait(self, timeout_s: float | None = None) -> int:
        """Waits for the end and returns the exit code of policy-language §14."""
        return self.process.wait(timeout_s)


def run(
    argv: Sequence[str],
    policy: str | os.PathLike[str] | None = None,
    workspace: str | os.PathLike[str] | None = None,
    *,
    input: bytes | None = None,
    capture_output: bool = False,
    timeout_s: float | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Runs a program to its end under a policy: `Sandbox(policy, workspace).run(argv)`.

    Args:
        argv: the program and its arguments.
        policy: as for `Sandbox`.
        workspace: as for `Sandbox`.
        input: bytes for its standard input.
        capture_output: whether output is returned instead of shown.
        timeout_s: seconds after which the run is ended and `subprocess.TimeoutExpired` raised.
    """
    return Sandbox(policy, workspace).run(
        argv, input=input, capture_output=capture_output, timeout_s=timeout_s
    )


def _reference(policy: str | os.PathLike[str]) -> str:
    """A reference of T8; a path object is always a file, also when its name reads as a policy's."""
    if isinstance(policy, str):
        return policy
    path = os.fspath(policy)
    return path if "/" in path else f"./{path}"
