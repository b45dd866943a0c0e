"""agent.toml."""

from __future__ import annotations

from pathlib import Path

import pytest

from replicante.errors import ConfigError
from replicante.sandbox.agent_config import read_agent_config


def test_relative_places_are_meant_from_the_file(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_text('command = ["python3", "x.py"]\npolicy = "./a.policy:b"\nworkspace = "w"\n')
    config = read_agent_config(path)
    assert config.command == ("python3", "x.py")
    assert config.policy == f"{tmp_path}/./a.policy:b" or config.policy == f"{tmp_path}/a.policy:b"
    assert config.workspace == f"{tmp_path}/w"
    path.write_text('command = ["x"]\npolicy = "strict"\n')
    assert read_agent_config(path).policy == "strict"


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("command = [", "P001", "no TOML"),
        ("comand = ['x']\ncommand = ['x']", "P080", "`comand`"),
        ("command = []", "P081", "`command`"),
        ("command = 'x'", "P081", "`command`"),
        ("provider = 'x'", "P080", "reference agent"),
    ],
)
def test_what_is_refused(tmp_path: Path, text: str, code: str, message: str) -> None:
    path = tmp_path / "agent.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message) as refused:
        read_agent_config(path)
    assert refused.value.code == code


def test_an_absent_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="can't be read"):
        read_agent_config(tmp_path / "absent.toml")
