"""Names of system calls that are words of the language too (Appendix A: `SYSCALL`)."""

from __future__ import annotations

import pytest

from replicante.policy import ast
from replicante.policy.diagnostics import Source
from replicante.policy.grammar import keywords
from replicante.policy.parse import parse, parse_request

# Calls of Linux that a rule, a clause or a block is named by as well.
CALLS = ["accept", "connect", "execve", "kill", "listen", "open", "read", "rename", "write"]
WORDS = [*CALLS, "override", "allow", "deny", "hold", "any", "never", "drop", *keywords()]


def calls_of(text: str) -> list[tuple[str, list[str], bool]]:
    file, diagnostics = parse(Source(f"language 1\npolicy p {{ syscalls {{ {text} }} }}"))
    assert diagnostics == []
    assert file is not None
    [block] = file.policies[0].items
    assert isinstance(block, ast.SyscallsBlock)
    return [(rule.effect, [name.text for name in rule.names], rule.is_kill) for rule in block.items]


@pytest.mark.parametrize("word", sorted({word for word in WORDS if "-" not in word}))
def test_a_word_of_the_language_is_a_call_in_its_place(word: str) -> None:
    assert calls_of(f"allow {word}, {word} override allow {word}; deny {word} kill") == [
        ("allow", [word, word], False),
        ("override_allow", [word], False),
        ("deny", [word], True),
    ]


@pytest.mark.parametrize("word", CALLS)
def test_an_expectation_names_such_a_call(word: str) -> None:
    expectations = f'test "t" {{ expect allow syscall {word} expect deny syscall {word}; }}'
    file, diagnostics = parse(Source(f"language 1\npolicy p {{ {expectations} }}"))
    assert diagnostics == []
    assert file is not None
    request, _ = parse_request(f"syscall {word}")
    assert isinstance(request, ast.SyscallRequest)
    assert request.name.text == word


def test_a_file_rule_still_reads_its_actions() -> None:
    file, diagnostics = parse(Source('language 1\npolicy p { filesystem { allow read, write "/a" } }'))
    assert diagnostics == []
    assert file is not None
