"""The cache of compiled policies is checked, not believed."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest

from replicante.sandbox.policy_cache import CompiledPolicy, cache_key, file_sha256, lookup, store

PACKED = b'\0packed\n"x"'
WORDS = {"agent": "agent", "user": "ada"}


@pytest.fixture
def state(tmp_path: Path) -> str:
    (tmp_path / "state" / "compiled").mkdir(parents=True)
    return str(tmp_path / "state")


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "a b.policy"
    path.write_text("language 1\n")
    return path


def kept(state: str, policy: Path) -> str:
    key = cache_key(str(policy), WORDS, "operator")
    store(
        state, key, CompiledPolicy(PACKED, "/srv/w"), [(str(policy), sha256(policy.read_bytes()).hexdigest())]
    )
    return key


def test_what_was_kept_is_found(state: str, policy: Path) -> None:
    found = lookup(state, kept(state, policy))
    assert found is not None
    assert (found.packed, found.workspace) == (PACKED, "/srv/w")


def test_most_policies_name_no_workspace(state: str) -> None:
    store(state, "key", CompiledPolicy(PACKED), [])
    found = lookup(state, "key")
    assert found is not None
    assert (found.packed, found.workspace) == (PACKED, None)


def test_a_changed_file_is_a_miss(state: str, policy: Path) -> None:
    key = kept(state, policy)
    policy.write_text("language 1\n\n")
    assert lookup(state, key) is None


def test_a_file_that_became_a_link_is_a_miss(state: str, policy: Path, tmp_path: Path) -> None:
    key = kept(state, policy)
    policy.rename(tmp_path / "elsewhere")
    policy.symlink_to(tmp_path / "elsewhere")
    assert lookup(state, key) is None


@pytest.mark.parametrize("change", ["cut", "altered", "empty"])
def test_a_damaged_entry_is_a_miss(state: str, policy: Path, change: str) -> None:
    key = kept(state, policy)
    entry = Path(state) / "compiled" / key
    content = entry.read_bytes()
    entry.write_bytes({"cut": content[:-1], "altered": content.replace(b'"x"', b'"y"'), "empty": b""}[change])
    assert lookup(state, key) is None


def test_the_key_does_not_follow_the_run_and_its_directories() -> None:
    bindings = {**WORDS, "workspace": "/w", "run": "1"}
    key = cache_key("moderate", bindings, "operator")
    assert key == cache_key("moderate", {**WORDS, "workspace": "/v", "run": "2"}, "operator")
    assert key != cache_key("strict", bindings, "operator")
    assert key != cache_key("moderate", {**bindings, "user": "bob"}, "operator")
    assert key != cache_key("moderate", bindings, "default moderate")


def test_a_strange_file_name_keeps_nothing(state: str, tmp_path: Path) -> None:
    store(state, "key", CompiledPolicy(PACKED), [(str(tmp_path / "a\nb"), "0" * 64)])
    assert list((Path(state) / "compiled").iterdir()) == []


def test_files_over_the_limit_have_no_digest(tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(b"x" * (1 << 20))
    assert file_sha256(str(path)) == sha256(path.read_bytes()).hexdigest()
    path.write_bytes(b"x" * ((1 << 20) + 1))
    assert file_sha256(str(path)) is None
