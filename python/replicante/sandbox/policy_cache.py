"""Compiled policies, kept so that a plain start needs no parser.

An entry holds for one reference and one build of Replicante, whatever the run's directories are: its
variables are not bound. It lists every file that went into it with its digest, and is used only if each of
these files still has that digest, and if the entry itself has the digest that its first line says (a torn
write is a miss). The directory is the caller's alone (`state.open_state`).

Form of an entry: `replicante-compiled 2 SHA256-OF-THE-REST`, then a line with the workspace that an older
configuration names itself (else empty), one with the number of files, a line `SHA256 PATH` for each, and
after them the packed form to the end.
"""

from __future__ import annotations

import os
import stat

from replicante.sandbox.digest import sha256
from replicante.sandbox.shim import package_dir

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_MAGIC = b"replicante-compiled 2 "
_FILE_LIMIT_BYTES = 1 << 20  # T1
_ENTRY_LIMIT_BYTES = 64 << 20


class CompiledPolicy:
    """A policy as the shim takes it.

    Attributes:
        packed: the packed form.
        workspace: the directory that an older configuration names itself (§17), else `None`.
    """

    __slots__ = ("packed", "workspace")

    def __init__(self, packed: bytes, workspace: str | None = None) -> None:
        self.packed = packed
        self.workspace = workspace


def cache_key(reference: str, bindings: Mapping[str, str], trusted: str) -> str:
    """The name of an entry.

    Args:
        reference: absolute file name with its `:NAME`, or the name of a policy that ships.
        bindings: variables; only the words count, since a host pattern was checked with their values.
        trusted: what the policy's trust rests on, so that a revoked trust finds no entry.
    """
    digest = sha256()
    for part in (_build_stamp(), reference, trusted, bindings["agent"], bindings["user"]):
        encoded = os.fsencode(part)
        digest.update(b"%d:%b" % (len(encoded), encoded))
    return digest.hexdigest()


def _build_stamp() -> str:
    """What tells one build of Replicante from another: version, and times of the parts that compile a policy.

    The version alone would do for releases; in a checkout the code changes under one version.
    """
    package = package_dir()
    stamps: list[str] = []
    for directory in (package, os.path.join(package, "policy")):
        with os.scandir(directory) as entries:
            stamps.extend(
                f"{entry.name}:{entry.stat().st_mtime_ns}"
                for entry in entries
                if entry.name.endswith((".py", ".so", ".lark"))
            )
    return "\n".join(sorted(stamps))


def file_sha256(path: str) -> str | None:
    """The digest of a policy file; `None` when it is a link, not regular, or over 1 MiB."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        data = _read(descriptor, _FILE_LIMIT_BYTES)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return None if data is None else sha256(data).hexdigest()


def _read(descriptor: int, limit_bytes: int) -> bytes | None:
    chunks: list[bytes] = []
    left = limit_bytes + 1
    while left > 0:
        chunk = os.read(descriptor, left)
        if not chunk:
            return b"".join(chunks)
        chunks.append(chunk)
        left -= len(chunk)
    return None


def lookup(state: str, key: str) -> CompiledPolicy | None:
    """The policy of an entry, if it is whole and each of its files is unchanged."""
    body = _entry_body(state, key)
    if body is None:
        return None
    workspace, count, rest = body.split(b"\n", 2)
    for _index in range(int(count)):
        line, _, rest = rest.partition(b"\n")
        digest, _, path = line.partition(b" ")
        if file_sha256(os.fsdecode(path)) != digest.decode():
            return None
    return CompiledPolicy(rest, os.fsdecode(workspace) or None)


def entry_form(state: str, key: str) -> bytes | None:
    """The packed form of an entry as it was, whatever became of its files; `None` if it is not whole."""
    body = _entry_body(state, key)
    if body is None:
        return None
    _workspace, count, rest = body.split(b"\n", 2)
    return rest.split(b"\n", int(count))[-1]


def _entry_body(state: str, key: str) -> bytes | None:
    """What follows the first line of an entry, if it has the digest that this line says."""
    try:
        descriptor = os.open(os.path.join(state, "compiled", key), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        data = _read(descriptor, _ENTRY_LIMIT_BYTES)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    if data is None or not data.startswith(_MAGIC):
        return None
    head, _, body = data.partition(b"\n")
    return body if head[len(_MAGIC) :] == sha256(body).hexdigest().encode() else None


def store(state: str, key: str, policy: CompiledPolicy, closure: Iterable[tuple[str, str]]) -> None:
    """Keeps a compiled policy. A full disk or a strange file name only means that nothing is kept.

    Args:
        state: the state directory.
        key: of `cache_key`.
        policy: the policy.
        closure: path and SHA-256 of every file that went into it.
    """
    workspace = os.fsencode(policy.workspace or "")
    files = [(os.fsencode(path), digest.encode()) for path, digest in closure]
    if any(b"\n" in path for path in (workspace, *(path for path, _ in files))):
        return
    listed = b"".join(b"%b %b\n" % (digest, path) for path, digest in files)
    body = b"%b\n%d\n" % (workspace, len(files)) + listed + policy.packed
    target = os.path.join(state, "compiled", key)
    fresh = f"{target}.{os.getpid()}.{os.urandom(4).hex()}"
    try:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(_MAGIC + sha256(body).hexdigest().encode() + b"\n" + body)
            os.replace(fresh, target)
        except OSError:
            os.unlink(fresh)
            raise
    except OSError:
        return
