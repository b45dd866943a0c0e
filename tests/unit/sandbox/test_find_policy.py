"""Which policy a run takes (policy-language T8)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from replicante.errors import LaunchError
from replicante.sandbox.find_policy import choose_policy, split_reference


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "top" / ".git").mkdir(parents=True)
    (tmp_path / "top" / "a" / "b").mkdir(parents=True)
    return tmp_path / "top"


def test_the_nearest_file_up_to_the_top_is_found(repository: Path, tmp_path: Path) -> None:
    (repository / "replicante.policy").write_text("")
    (tmp_path / ".policy").write_text("")
    found = choose_policy(None, str(repository / "a" / "b"), str(tmp_path / "config"))
    assert (found.reference, found.top) == (str(repository / "replicante.policy"), str(repository))
    (repository / "a" / ".policy").write_text("")
    found = choose_policy(None, str(repository / "a" / "b"), str(tmp_path / "config"))
    assert found.reference == str(repository / "a" / ".policy")


def test_outside_of_a_repository_only_the_workspace_is_looked_at(tmp_path: Path) -> None:
    (tmp_path / "w").mkdir()
    (tmp_path / ".policy").write_text("")
    found = choose_policy(None, str(tmp_path / "w"), str(tmp_path / "config"))
    assert (found.reference, found.top) == ("moderate", None)


def test_the_operators_default_comes_before_the_built_in(tmp_path: Path) -> None:
    (tmp_path / "w").mkdir()
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "default.policy").write_text("")
    found = choose_policy(None, str(tmp_path / "w"), str(tmp_path / "config"))
    assert (found.reference, found.top) == (str(tmp_path / "config" / "default.policy"), None)


def test_a_named_file_of_the_repository_is_still_a_proposal(repository: Path, tmp_path: Path) -> None:
    inside, outside = repository / "a" / "x.policy", tmp_path / "x.policy"
    inside.write_text("")
    outside.write_text("")
    assert choose_policy(str(inside), str(repository), "/none").top == str(repository)
    assert choose_policy(f"{inside}:name", str(repository), "/none").top == str(repository)
    assert choose_policy(str(outside), str(repository), "/none").top is None
    assert choose_policy("strict", str(repository), "/none").top is None


def test_a_link_to_a_file_of_the_repository_is_a_proposal_too(repository: Path, tmp_path: Path) -> None:
    (repository / "x.policy").write_text("")
    (tmp_path / "y.policy").symlink_to(repository / "x.policy")
    assert choose_policy(str(tmp_path / "y.policy"), str(repository), "/none").top == str(repository)


@pytest.mark.parametrize("kind", ["link", "fifo", "directory"])
def test_what_is_found_is_refused_never_skipped(repository: Path, kind: str) -> None:
    (repository / "replicante.policy").write_text("")
    path = repository / ".policy"
    if kind == "link":
        path.symlink_to("replicante.policy")
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.mkdir()
    with pytest.raises(LaunchError) as refused:
        choose_policy(None, str(repository), "/none")
    assert refused.value.code == "L024"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_file_of_another_user_is_refused(repository: Path) -> None:
    path = repository / ".policy"
    path.write_text("")
    os.chown(path, 4711, 4711)
    with pytest.raises(LaunchError, match="belongs to user 4711"):
        choose_policy(None, str(repository), "/none")


def test_a_file_that_everybody_may_write_is_refused(repository: Path) -> None:
    path = repository / ".policy"
    path.write_text("")
    path.chmod(0o664)
    assert choose_policy(None, str(repository), "/none").reference == str(path)
    path.chmod(0o666)
    with pytest.raises(LaunchError, match="may be written by everybody"):
        choose_policy(None, str(repository), "/none")


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("./a.policy", ("./a.policy", None)),
        ("./a.policy:b", ("./a.policy", "b")),
        ("/x:y/a.policy", ("/x:y/a.policy", None)),
        ("/x/a.policy:", ("/x/a.policy:", None)),
    ],
)
def test_references_are_split_at_a_name_only(reference: str, expected: tuple[str, str | None]) -> None:
    assert split_reference(reference) == expected
