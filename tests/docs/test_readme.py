"""The README says what is so: commands exist, the policy loads, continuous integration runs the tests."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from replicante.cli.app import COMMANDS
from replicante.cli.run_options import parse
from replicante.sandbox.bindings import default_bindings

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


SETUP = [block.strip() for block in blocks("sh") if ".venv" in block]


def test_there_are_exactly_two_set_up_commands() -> None:
    start = "python3 -m venv .venv && .venv/bin/pip install -q nox && .venv/bin/nox"
    assert [f"{start} -s drill", start] == SETUP


def test_continuous_integration_runs_the_second_one() -> None:
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    assert SETUP[1] in lines


@pytest.mark.parametrize(
    "line", [line for block in blocks("sh") for line in block.splitlines() if "replicante " in line]
)
def test_each_command_line_is_understood(line: str) -> None:
    words = shlex.split(line)
    assert words[0] == "replicante"
    assert words[1] in COMMANDS
    if words[1] == "run":
        assert parse(words[2:]).command


@pytest.mark.parametrize("text", blocks("policy"))
def test_each_policy_loads_with_its_tests(text: str) -> None:
    from replicante import parse_policy

    policy = parse_policy(text, filename="README.md", variables=default_bindings("/w", "run-1"))
    assert policy.name == "my-agent"


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)#:]+)\)", README))
def test_each_link_leads_somewhere(target: str) -> None:
    assert (ROOT / target).exists()
