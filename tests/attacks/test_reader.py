"""The person who reads: text of the agent in reports and events is data."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Arena

# Clears the screen, sets the title, turns the direction of writing round, ends the line.
HOSTILE = (
    "a\x1b[2Jb",
    "a\x1b]0;owned\x07b",
    "a\u202eb",
    "a\nreplicante: 0 denials\nb",
    "a\x9b2Jb",
    'a"b*${home}',
)
CONTROLS = ("\x1b", "\x07", "\u202e", "\x9b")


def command(arena: Arena, argv: list[str], *options: str) -> list[str]:
    """The command with a report for people."""
    words = arena.inside_command(argv, "moderate", *options)
    words.remove("--json")
    return words


@pytest.mark.parametrize("options", [(), ("--explain",)], ids=["report", "explain"])
def test_names_in_a_report_for_people(arena: Arena, options: tuple[str, ...]) -> None:
    for name in HOSTILE:
        arena.write(arena.workspace / name / ".env", "token")
    plain = arena.plain("ls -d --show-control-chars *")
    assert all(control in plain.out for control in CONTROLS)
    done = arena.call(command(arena, ["sh", "-c", "cat */.env >/dev/null 2>&1; true"], *options))
    assert f"{len(HOSTILE)} denials" in done.err
    assert not any(control in done.err for control in CONTROLS)
    # No line of the report is the agent's.
    assert "replicante: 0 denials" not in done.err.splitlines()


def test_a_process_name_in_a_live_explanation(arena: Arena) -> None:
    arena.write(arena.workspace / ".env", "token")
    script = 'python3 -c \'open("/proc/self/comm", "w").write("a\\x1b[2Jb"); open(".env")\''
    done = arena.call(command(arena, ["sh", "-c", f"exec 2>/dev/null; {script}"], "--explain"))
    assert "by a\\u{1b}[2Jb" in done.err
    assert "\x1b" not in done.err


def test_names_in_a_report_for_programs(arena: Arena) -> None:
    for name in HOSTILE:
        arena.write(arena.workspace / name / ".env", "token")
    inside = arena.inside("cat */.env >/dev/null 2>&1; true")
    assert len(inside.err.splitlines()) == 1
    paths = {denial["resource"] for denial in inside.report["denials"]}
    assert paths == {str(arena.workspace / name / ".env") for name in HOSTILE}


def test_a_proposed_rule_allows_that_very_path(arena: Arena) -> None:
    """Wildcards and quotes in a name are quoted: the proposal parses and opens nothing beside the name."""
    name = 'a"b*c?${home}'
    arena.write(arena.workspace / name / ".env", "token-one")
    arena.write(arena.workspace / 'a"bXXc' / ".env", "token-two")
    inside = arena.inside("cat */.env 2>/dev/null; true")
    (wanted,) = [group for group in inside.report["denials"] if name in group["resource"]]
    policy = arena.policy(f"  filesystem {{ {wanted['would_allow']} as proposed }}")
    again = arena.inside("cat */.env 2>/dev/null; true", policy=policy)
    assert again.out == "token-one", json.dumps(again.report)
