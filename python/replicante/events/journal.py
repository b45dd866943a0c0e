"""Reading a run's journal: `_core` verifies the frames; bytes behind the last whole one are a torn write."""

from __future__ import annotations

from pathlib import Path

from replicante._core import JournalReader as FrameReader
from replicante.errors import StoreError
from replicante.events.types import Event, parse_event


class Journal:
    """A journal that is read from its start, and further each time more was written.

    Args:
        path: a file `NNNNNNNN.rj`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._frames = FrameReader()
        self._offset = 0
        self.torn_bytes = 0

    def read(self) -> list[Event]:
        """The events that were written since the last call.

        `torn_bytes` then says how many bytes follow the last whole frame.

        Raises:
            StoreError: the file can't be read, or was altered: a frame does not continue the chain.
        """
        try:
            with self.path.open("rb") as file:
                file.seek(self._offset)
                data = file.read()
        except OSError as error:
            raise StoreError(f"the journal {self.path} can't be read: {error.strerror}") from error
        try:
            lines, consumed = self._frames.read(data)
            events = [parse_event(line) for line in lines]
        except ValueError as error:
            raise StoreError(f"the journal {self.path} was altered: {error}") from error
        self._offset += consumed
        self.torn_bytes = len(data) - consumed
        return events


def find_journal(run: str, state: str) -> Path:
    """The journal of a run, or a journal's own path.

    Args:
        run: a run's identifier, its directory, a journal file, or `last` for the newest run.
        state: the state directory.

    Raises:
        StoreError: there is none.
    """
    runs = Path(state) / "runs"
    if run == "last":
        names = sorted(path.name for path in runs.iterdir() if path.is_dir()) if runs.is_dir() else []
        if not names:
            raise StoreError("no run was recorded yet")
        run = names[-1]
    path = Path(run) if "/" in run or run.endswith(".rj") else runs / run
    if path.is_dir():
        path = path / "journal" / "00000000.rj"
    if not path.is_file():
        raise StoreError(f"there is no journal of `{run}`: {path}")
    return path
