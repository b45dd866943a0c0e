"""Policy files are read once, and only plain ones (R1, T1, decisions.md §2)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from replicante.policy.files import MAX_FILE_BYTES, OversizedFile, UnreadableFile, read_policy_file


def test_reads_what_the_file_holds(tmp_path: Path) -> None:
    path = tmp_path / "a.policy"
    path.write_bytes(b"language 1\n")
    assert read_policy_file(path).content == b"language 1\n"


def test_a_fifo_is_refused_without_waiting_for_a_writer(tmp_path: Path) -> None:
    path = tmp_path / "a.policy"
    os.mkfifo(path)
    with pytest.raises(UnreadableFile, match="is a FIFO"):
        read_policy_file(path)


def test_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("language 1\n")
    path = tmp_path / "a.policy"
    path.symlink_to("real")
    with pytest.raises(UnreadableFile, match="symbolic link"):
        read_policy_file(path)


def test_a_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="is a directory"):
        read_policy_file(tmp_path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="no such file"):
        read_policy_file(tmp_path / "none.policy")


@pytest.mark.parametrize(("size", "refused"), [(MAX_FILE_BYTES, False), (MAX_FILE_BYTES + 1, True)])
def test_a_file_is_at_most_one_mebibyte(tmp_path: Path, size: int, refused: bool) -> None:
    path = tmp_path / "a.policy"
    path.write_bytes(b"#" * size)
    if refused:
        with pytest.raises(OversizedFile):
            read_policy_file(path)
    else:
        assert len(read_policy_file(path).content) == size
