"""Consents outlive the process, are replaced whole, and a damaged record is not taken for none (R2)."""

from __future__ import annotations

from pathlib import Path

import pytest

from replicante import StoreError
from replicante.policy.trust_store import TrustRecord, TrustStore

CONSENT = TrustRecord(policy="p", trust_digest="a" * 64, text="language 1\npolicy p {}\n")


def test_nothing_is_trusted_at_first(tmp_path: Path) -> None:
    assert TrustStore(tmp_path / "state").find(Path("/repo")) is None


def test_a_consent_is_found_again(tmp_path: Path) -> None:
    TrustStore(tmp_path / "state").record(Path("/repo"), CONSENT)
    assert TrustStore(tmp_path / "state").find(Path("/repo")) == CONSENT
    assert TrustStore(tmp_path / "state").find(Path("/repo/sub")) is None


def test_a_later_consent_replaces_the_earlier(tmp_path: Path) -> None:
    store = TrustStore(tmp_path)
    later = TrustRecord(policy="q", trust_digest="b" * 64, text="")
    store.record(Path("/repo"), CONSENT)
    store.record(Path("/other"), CONSENT)
    store.record(Path("/repo"), later)
    assert store.records() == {"/repo": later, "/other": CONSENT}


def test_revoking_forgets_one(tmp_path: Path) -> None:
    store = TrustStore(tmp_path)
    store.record(Path("/repo"), CONSENT)
    assert store.revoke(Path("/repo"))
    assert not store.revoke(Path("/repo"))
    assert store.records() == {}


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"schema": 2, "trusted": {}}', '{"schema": 1, "trusted": {"/r": {}}}']
)
def test_a_damaged_record_is_an_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "trusted.json").write_text(content)
    with pytest.raises(StoreError):
        TrustStore(tmp_path).find(Path("/repo"))


def test_a_write_leaves_nothing_beside_the_record(tmp_path: Path) -> None:
    TrustStore(tmp_path).record(Path("/repo"), CONSENT)
    assert [path.name for path in tmp_path.iterdir()] == ["trusted.json"]
