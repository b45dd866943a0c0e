"""Any text is a policy or is refused with findings that have a place; what is accepted keeps its meaning.

The fuzzing of policy text: its parser is Python, so Hypothesis drives it, and `nox -s fuzz -- SECONDS` gives
it more time by REPLICANTE_FUZZ_EXAMPLES. Texts are those of the vectors and of the policies that ship, with
words taken out, doubled and put in the places of others: bytes at random would stay in the lexer.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any, cast

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from replicante import Policy, PolicyError, parse_policy
from replicante.policy.diagnostics import Source
from replicante.policy.fmt import format_file
from replicante.policy.lint import lint
from replicante.policy.parse import parse

ROOT = Path(__file__).parents[2]
EXAMPLES = int(os.environ.get("REPLICANTE_FUZZ_EXAMPLES", "150"))
VARIABLES = {
    "workspace": "/w",
    "home": "/home/ada",
    "tmp": "/tmp",
    "cache": "/agent/cache",
    "runtime": "/agent/run",
    "agent": "a",
    "run": "r",
    "user": "ada",
}
WORD = re.compile(r'"(?:[^"\\\n]|\\.)*"|[\w@./-]+|\s+|#[^\n]*|.', re.DOTALL)


def texts() -> list[str]:
    """All texts to start from."""
    vectors = json.loads((ROOT / "tests" / "vectors" / "policy-vectors.json").read_text())
    found: list[str] = []

    def collect(value: object) -> None:
        if isinstance(value, str) and value.startswith("language 1"):
            found.append(value)
        elif isinstance(value, dict):
            for member in cast("dict[str, Any]", value).values():
                collect(member)
        elif isinstance(value, list):
            for item in cast("list[Any]", value):
                collect(item)

    collect(vectors)
    files = [*(ROOT / "policies").glob("*.policy"), *(ROOT / "docs" / "examples").glob("*.policy")]
    return sorted({*found, *(path.read_text() for path in files)}, key=len)


TEXTS = texts()
WORDS = [WORD.findall(text) for text in TEXTS]
POOL = sorted({word for words in WORDS for word in words if not word.isspace()})
STRANGE = [
    "",
    "\0",
    "\u202e",
    "\r",
    "\u00a0",
    '"',
    "\\",
    "}",
    "{{",
    "9" * 30,
    "-1",
    '"${x}"',
    "é",
    "\U0001f600",
]


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """A text with up to six words changed."""
    words = list(draw(st.sampled_from(WORDS)))
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, len(words) - 1))
        other = draw(st.sampled_from(POOL) | st.sampled_from(STRANGE) | st.text(max_size=4))
        change = draw(st.sampled_from(["replace", "insert", "remove", "double", "cut"]))
        if change == "replace":
            words[at] = other
        elif change == "insert":
            words.insert(at, other)
        elif change == "remove":
            words[at] = ""
        elif change == "double":
            words[at:at] = words[at : at + draw(st.integers(1, 40))]
        else:
            del words[at + 1 :]
    return "".join(words)


@given(mutated())
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_text_is_a_policy_or_is_refused_with_its_places(text: str) -> None:
    try:
        policy = loaded(text)
    except PolicyError as error:
        assert any(finding.is_error for finding in error.diagnostics)
        lines = text.count("\n") + 1
        for finding in error.diagnostics:
            assert re.fullmatch(r"[PLW]\d{3}", finding.code)
            assert finding.span.column >= 1
            if finding.source.filename == "<text>":
                assert 1 <= finding.span.line <= lines + 1
            shown = finding.render()
            assert not any(c not in "\n\t" and not c.isprintable() for c in shown), shown
        return
    again = loaded(policy.text())
    assert again.identity == policy.identity
    assert again.compiled_form != b""
    policy.compile()
    assert all(finding.render() for finding in lint(policy))


@given(mutated())
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_layout_is_settled_after_one_pass(text: str) -> None:
    file, diagnostics = parse(Source(text))
    if file is None or diagnostics:
        assert diagnostics, "no tree, and no reason"
        return
    once = format_file(file, Source(text))
    again, diagnostics = parse(Source(once))
    assert again is not None
    assert diagnostics == [], once
    assert format_file(again, Source(once)) == once


def loaded(text: str) -> Policy:
    """The last policy of a text, as `extends` lets it be the one that matters."""
    names = re.findall(r"^policy ([a-z][a-z0-9-]*)", text, re.MULTILINE)
    return parse_policy(text, name=names[-1] if names else None, variables=VARIABLES)
