"""Policy files are read once, and only plain ones (R1, T1, decisions.md §2)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from replicante import PolicyError, load_policy
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


@pytest.fixture
def importing(tmp_path: Path) -> tuple[Path, Path]:
    """A policy, and the file that it imports."""
    main, imported = tmp_path / "main.policy", tmp_path / "shared.policy"
    main.write_text('language 1\nimport "shared.policy"\npolicy main extends shared {}\n')
    imported.write_text('language 1\npolicy shared { filesystem { allow read "/srv/**" } }\n')
    main.chmod(0o644)
    imported.chmod(0o644)
    return main, imported


def refusal(path: Path) -> list[tuple[str, str, int]]:
    with pytest.raises(PolicyError) as caught:
        load_policy(path)
    return [(one.code, one.message, one.span.line) for one in caught.value.diagnostics if one.code == "P021"]


def test_an_import_that_everybody_may_write_is_refused(importing: tuple[Path, Path]) -> None:
    main, imported = importing
    assert load_policy(main).name == "main"
    imported.chmod(0o664)
    assert load_policy(main).name == "main"
    imported.chmod(0o666)
    message = "the imported file may be written by everybody, so that others decide what this policy says"
    assert refusal(main) == [("P021", message, 2)]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_an_import_of_another_user_is_refused(importing: tuple[Path, Path]) -> None:
    main, imported = importing
    os.chown(imported, 4711, 4711)
    message = "the imported file belongs to user 4711, so that others decide what this policy says"
    assert refusal(main) == [("P021", message, 2)]
    # Whoever owns the file that was asked for says all of it: what he imports is his.
    os.chown(main, 4711, 4711)
    assert load_policy(main).name == "main"
    os.chown(imported, 4712, 4712)
    assert len(refusal(main)) == 1
    os.chown(imported, 0, 0)
    assert load_policy(main).name == "main"
