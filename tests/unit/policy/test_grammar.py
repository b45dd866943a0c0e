"""The nodes that the parser makes: their places, and what is left out of them."""

from __future__ import annotations

from lark import Lark, Token

from replicante.policy.grammar import PUNCTUATION, Node, parser, read

TEXT = 'language 1\npolicy p {\n  filesystem { allow read "/a",\n    "/b" as x; }\n}\n'


def nodes(node: Node) -> list[Node]:
    below = [child for child in node.children if isinstance(child, Node)]
    return [node, *(each for child in below for each in nodes(child))]


def test_places_are_those_of_the_text() -> None:
    found = {node.data: node for node in nodes(read(TEXT, "start"))}
    rule = found["fs_rule"]
    assert TEXT[rule.start : rule.end] == 'allow read "/a",\n    "/b" as x;'
    assert (rule.line, rule.column) == (3, 16)
    head = found["fs_head"]
    assert TEXT[head.start : head.end] == 'read "/a",\n    "/b"'
    policy = found["policy"]
    assert (TEXT[policy.start], TEXT[policy.end - 1], policy.line, policy.column) == ("p", "}", 2, 1)


def test_just_what_lark_itself_would_leave_out_is_left_out() -> None:
    """What is written as a string in the grammar, and terminals whose name says so."""
    anonymous: set[str] = set()
    for rule in parser().rules:
        anonymous |= {symbol.name for symbol in rule.expansion if symbol.is_term}
    named = {name for name in anonymous if name in PUNCTUATION or name.startswith("_")}
    plain = Lark('start: "{" "}" "[" "]" "(" ")" "," ";" ":" "."', parser="lalr")
    written = {symbol.name for rule in plain.rules for symbol in rule.expansion}
    assert {name for name in named if not name.startswith("_")} == PUNCTUATION == written
    for node in nodes(read(TEXT, "start")):
        types = {child.type for child in node.children if isinstance(child, Token)}
        assert not types & PUNCTUATION
        assert not {name for name in types if name.startswith("_")}
