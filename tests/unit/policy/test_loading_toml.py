"""The older configuration loads like a policy, with its own workspace (§17)."""

from __future__ import annotations

from pathlib import Path

import pytest

from replicante import PolicyError, load_policy

VALUES = {"workspace": "/home/ada/shop", "home": "/home/ada", "tmp": "/tmp", "cache": "/agent/cache"}


def test_a_configuration_decides(tmp_path: Path) -> None:
    path = tmp_path / "sandbox.toml"
    path.write_text(
        '[sandbox.filesystem]\nroot = "/srv/data"\nblocked_paths = ["/srv/data/secret"]\n'
        '[sandbox.network]\nmode = "Filtered"\nallowed_domains = ["api.example.com"]\n'
    )
    policy = load_policy(path, variables=VALUES)
    engine = policy.compile()
    assert engine.decide("read", "/srv/data/a").allowed
    assert not engine.decide("read", "/srv/data/secret/a").allowed
    assert engine.decide("connect", "api.example.com", port=443).allowed
    assert not engine.decide("connect", "other.example.com", port=443).allowed


def test_a_mistyped_key_is_refused_where_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "sandbox.toml"
    path.write_text('[sandbox.filesystem]\nrot = "/srv/data"\n')
    with pytest.raises(PolicyError) as refused:
        load_policy(path, variables=VALUES)
    assert [(one.code, one.span.line) for one in refused.value.diagnostics] == [("P080", 2)]
