"""How long finished runs are kept (supervision 1.3): 30 days and up to 1 GiB, the oldest go first."""

from __future__ import annotations

import os
import shutil


def remove_old_runs(runs: str, now: float, keep_s: float, keep_bytes: int) -> list[str]:
    """Removes finished runs that are too old, then the oldest until the rest fits.

    Args:
        runs: directory of all run directories.
        now: the present, in seconds of the Unix clock.
        keep_s: age up to which a run is kept, in seconds.
        keep_bytes: size up to which all finished runs together are kept.

    Returns:
        The names of the runs that were removed.
    """
    finished: list[tuple[float, int, str]] = []
    with os.scandir(runs) as entries:
        for entry in entries:
            if not entry.is_dir(follow_symlinks=False):
                continue
            try:
                ended = os.lstat(os.path.join(entry.path, "exit.json")).st_mtime
            except OSError:
                continue  # still running, or died without an end: not ours to judge here
            finished.append((ended, _size(entry.path), entry.name))
    finished.sort()
    total = sum(size for _, size, _ in finished)
    removed: list[str] = []
    for ended, size, name in finished:
        if now - ended <= keep_s and total <= keep_bytes:
            break
        shutil.rmtree(os.path.join(runs, name))
        total -= size
        removed.append(name)
    return removed


def _size(directory: str) -> int:
    total = 0
    for parent, _, names in os.walk(directory):
        for name in names:
            total += os.lstat(os.path.join(parent, name)).st_blocks * 512
    return total
