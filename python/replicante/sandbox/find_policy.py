"""Which policy a run takes when none is named (policy-language T8)."""

from __future__ import annotations

import os
import stat

from replicante.errors import LaunchError
from replicante.sandbox.bindings import top_directory

NAMES = (".policy", "replicante.policy")
"""File names that are looked for, in this order, in each directory."""

BUILT_IN_DEFAULT = "moderate"


class FoundPolicy:
    """What policy to load, and on whose word.

    Attributes:
        reference: `NAME`, `FILE` or `FILE:NAME` of T8.
        top: for a repository's own policy its top directory (without a repository the workspace), where the
            trust of R2 is recorded; `None` when the operator chose the policy.
    """

    __slots__ = ("reference", "top")

    def __init__(self, reference: str, top: str | None) -> None:
        self.reference = reference
        self.top = top


def is_file_reference(reference: str) -> bool:
    """Whether T8 reads the reference as `FILE` or `FILE:NAME`, not as the name of a policy that ships."""
    return "/" in reference or "." in reference


def split_reference(reference: str) -> tuple[str, str | None]:
    """Splits `FILE:NAME` into both; the name is `None` when absent."""
    file, separator, name = reference.rpartition(":")
    if separator and name and "/" not in name and "." not in name:
        return file, name
    return reference, None


def choose_policy(given: str | None, workspace: str, config: str) -> FoundPolicy:
    """The policy that is to be used: the operator's word, else the repository's file, else the default.

    Args:
        given: what `--policy` says.
        workspace: canonical path of the workspace.
        config: the operator's settings directory; its `default.policy` is the operator's default.

    Raises:
        LaunchError: L024 when a file is found that must not be used (T8: refused, never skipped).
    """
    top = top_directory(workspace)
    if given is not None:
        return FoundPolicy(given, _repository_of(given, top or workspace))
    directory = workspace
    while True:
        for name in NAMES:
            path = os.path.join(directory, name)
            if os.path.lexists(path):
                _check_found(path, top or directory)
                return FoundPolicy(path, top or directory)
        if top is None or directory == top:
            break
        directory = os.path.dirname(directory)
    default = os.path.join(config, "default.policy")
    if os.path.lexists(default):
        return FoundPolicy(default, None)
    return FoundPolicy(BUILT_IN_DEFAULT, None)


def operator_default(config: str) -> str:
    """The operator's default policy: what a repository's own is compared with (R2)."""
    default = os.path.join(config, "default.policy")
    return default if os.path.lexists(default) else BUILT_IN_DEFAULT


def _repository_of(given: str, top: str) -> str | None:
    """`top` when the named file lies inside it: such a file is a proposal (R2)."""
    if not is_file_reference(given):
        return None
    file, _ = split_reference(given)
    real = os.path.realpath(file)
    return top if real == top or real.startswith(os.path.join(top, "")) else None


def _check_found(path: str, top: str) -> None:
    found = os.lstat(path)
    wrong = None
    if stat.S_ISLNK(found.st_mode):
        wrong = "is a symbolic link"
    elif not stat.S_ISREG(found.st_mode):
        wrong = "is no regular file"
    elif found.st_uid not in (os.geteuid(), 0):
        wrong = f"belongs to user {found.st_uid}"
    elif found.st_mode & stat.S_IWOTH:
        wrong = "may be written by everybody"
    else:
        owner = os.lstat(top).st_uid
        if owner not in (os.geteuid(), 0):
            wrong = f"lies in a directory of user {owner}"
    if wrong is not None:
        raise LaunchError(
            f"the policy found at {path} is refused: it {wrong}",
            code="L024",
            help="own it as a plain file, or name a policy with `--policy`",
        )
