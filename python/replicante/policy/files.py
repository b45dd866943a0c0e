"""Reading policy files: once, never through a link, only regular files (R1, decisions.md §2)."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

MAX_FILE_BYTES = 1024 * 1024
"""A policy file is at most this large (T1)."""


class UnreadableFile(Exception):
    """A file that cannot be taken as a policy; the text says why, in one line."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"`{path}` {why}")
        self.path = path
        self.why = why


class OversizedFile(UnreadableFile):
    """A file of more than `MAX_FILE_BYTES` (P007)."""


@dataclass(frozen=True, slots=True)
class FileContent:
    """What a file held when it was read, and who may change it."""

    path: Path
    content: bytes
    owner: int
    """User id; 0 on systems that have none."""
    is_writable_by_all: bool

    def stranger(self, owners: Collection[int]) -> str | None:
        """Tells who else than some users could change the file, in words that follow its name; or None.

        Groups are not looked at: an ordinary umask gives a user's own group the right to write.
        """
        if self.owner not in owners:
            return f"belongs to user {self.owner}"
        return "may be written by everybody" if self.is_writable_by_all else None


def read_policy_file(path: Path) -> FileContent:
    """Reads a file without following a link in its last place and without waiting for a FIFO's writer.

    Args:
        path: The file.

    Raises:
        OversizedFile: If it has more than 1 MiB.
        UnreadableFile: If it is missing, unreadable, a link, a FIFO or a directory.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        is_link = path.is_symlink()
        why = "is a symbolic link" if is_link else f"cannot be read: {(error.strerror or 'error').lower()}"
        raise UnreadableFile(path, why) from error
    try:
        status = os.fstat(descriptor)
        content = _read(descriptor, path, status)
    finally:
        os.close(descriptor)
    if len(content) > MAX_FILE_BYTES:
        raise OversizedFile(path, "is larger than 1 MiB")
    return FileContent(path, content, status.st_uid, bool(status.st_mode & stat.S_IWOTH))


def owner_of(path: Path) -> int | None:
    """Gives the user id of a file's owner, or None for a file that is not there."""
    try:
        return path.lstat().st_uid
    except OSError:
        return None


def caller() -> int:
    """Gives the user id of this process; 0, which owns every file, on systems that have none."""
    return os.geteuid() if hasattr(os, "geteuid") else 0


def _read(descriptor: int, path: Path, status: os.stat_result) -> bytes:
    if not stat.S_ISREG(status.st_mode):
        raise UnreadableFile(path, f"is {_kind(status.st_mode)}, not a regular file")
    content = b""
    try:
        while len(content) <= MAX_FILE_BYTES and (part := os.read(descriptor, MAX_FILE_BYTES + 1)):
            content += part
    except OSError as error:
        raise UnreadableFile(path, f"cannot be read: {(error.strerror or 'error').lower()}") from error
    return content


def _kind(mode: int) -> str:
    if stat.S_ISFIFO(mode):
        return "a FIFO"
    if stat.S_ISDIR(mode):
        return "a directory"
    return "a socket" if stat.S_ISSOCK(mode) else "a device"
