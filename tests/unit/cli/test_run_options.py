"""The command line of `run`."""

from __future__ import annotations

import pytest

from replicante.cli.run_options import OPTIONS, UsageError, help_text, parse


def test_options_end_at_the_first_word() -> None:
    parsed = parse(["--policy", "strict", "ls", "--policy", "x"])
    assert parsed.values == {"policy": "strict"}
    assert parsed.command == ["ls", "--policy", "x"]


def test_two_hyphens_end_the_options_once() -> None:
    assert parse(["--", "--", "x"]).command == ["--", "x"]
    assert parse(["--explain", "--", "--help"]).command == ["--help"]


def test_values_may_stand_behind_an_equals_sign() -> None:
    parsed = parse(["--workspace=/w", "--set", "agent=a=b", "--set=user=u", "--json", "--no-weaker", "x"])
    assert parsed.values == {"workspace": "/w"}
    assert parsed.settings == {"agent": "a=b", "user": "u"}
    assert parsed.switches == {"json", "no-weaker"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--polcy", "x"], "no option `--polcy`"),
        (["--policy"], "needs POLICY"),
        (["--policy", "a", "--policy", "b"], "given twice"),
        (["--explain=yes"], "takes no value"),
        (["--visibility", "some"], "takes usual or whole, not `some`"),
        (["--set", "agent"], "takes NAME=VALUE"),
        (["--set", "agent=a", "--set", "agent=b"], "given twice"),
    ],
)
def test_what_is_refused(arguments: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse([*arguments, "--", "ls"])


def test_help_names_every_option() -> None:
    assert all(option.name in help_text() and option.help in help_text() for option in OPTIONS)
