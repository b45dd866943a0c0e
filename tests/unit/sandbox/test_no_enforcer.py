"""What nothing would enforce on a described machine, and reading such a description (E1, E3, L2)."""

from __future__ import annotations

import json

import pytest

from replicante import ConfigError, parse_policy
from replicante.sandbox.doctor import MEANINGS, Finding
from replicante.sandbox.no_enforcer import described_machine, refused_there


def machine(*missing: str) -> list[Finding]:
    return [
        {"mechanism": name, "present": name not in missing, "found": "switched off", "help": "switch it on"}
        for name in MEANINGS
    ]


@pytest.mark.parametrize(
    ("missing", "body", "told"),
    [
        ("", "", []),
        ("landlock", "", ["let the policy say `accept weaker landlock`; or there: switch it on"]),
        ("landlock", "accept weaker landlock", []),
        (
            "fuse",
            "accept weaker landlock",
            ["let the policy say `accept weaker read-events`; or there: switch it on"],
        ),
        ("fuse", "accept weaker read-events", []),
        # Nothing stands in for these.
        ("namespaces", "accept weaker landlock", ["switch it on"]),
        ("seccomp", "accept weaker landlock", ["switch it on"]),
        # A default that nobody stated takes its stand-in.
        ("cgroup", "accept weaker freeze", []),
        ("cgroup", "", ["let the policy say `accept weaker freeze`; or there: switch it on"]),
        (
            "cgroup",
            "resources { memory 1GiB threads 10 }",
            ["let the policy say `accept weaker memory, processes, freeze`; or there: switch it on"],
        ),
        ("cgroup", "accept weaker io, freeze resources { io-read 1MiB/s }", []),
    ],
)
def test_missing_mechanisms(missing: str, body: str, told: list[str]) -> None:
    policy = parse_policy(f"language 1\npolicy p {{ {body} }}")
    found = refused_there(policy, machine(missing))
    assert [one.fix for one in found] == told
    for one in found:
        assert (one.code, one.severity, one.rule) == ("P060", "error", "E1")
        assert one.message.startswith(f"`{missing}` is missing (switched off): nothing would hold that ")
        assert one.source.text_of(one.span) == "p"


def test_every_missing_mechanism_is_told() -> None:
    found = refused_there(parse_policy("language 1\npolicy p {}"), machine(*MEANINGS))
    assert len(found) == len(MEANINGS)


def description(**degrees: str) -> bytes:
    rows = [
        {"name": name, "degree": degrees.get(name, "held"), "found": "f", "help": "h"} for name in MEANINGS
    ]
    return json.dumps({"schema": 1, "ok": True, "guarantees": [{"name": "shim"}, *rows]}).encode()


def test_a_mechanism_is_there_if_doctor_said_held() -> None:
    found = described_machine(description(fuse="weaker", landlock="not held"), "there.json")
    assert {one["mechanism"]: one["present"] for one in found} == {
        **dict.fromkeys(MEANINGS, True),
        "fuse": False,
        "landlock": False,
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "ends too early"),
        (b'{"guarantees": [], "guarantees": []}', "duplicate key"),
        (b"[]", "says nothing of namespaces"),
        (b'{"guarantees": {}}', "says nothing of namespaces"),
        (b'{"guarantees": [{"name": "landlock"}]}', "`landlock` has no degree"),
        (b"\xff", "UTF-8"),
    ],
)
def test_a_description_that_is_none(content: bytes, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        described_machine(content, "there.json")
    assert "there.json" in str(caught.value)
    assert caught.value.help is not None
