"""One layout: it keeps the tree and the comments, and changes nothing when it is done again (§14)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replicante.policy import ast
from replicante.policy.diagnostics import Source
from replicante.policy.fmt import COLUMNS, format_file
from replicante.policy.parse import parse
from replicante.policy.written import clauses_in_order

ROOT = Path(__file__).parents[3]
SHIPPED = [*sorted((ROOT / "policies").glob("*.policy")), *sorted((ROOT / "docs/examples").glob("*.policy"))]


def read(text: str) -> ast.File:
    file, diagnostics = parse(Source(text))
    assert file is not None
    assert diagnostics == []
    return file


def formatted(text: str) -> str:
    return format_file(read(text), Source(text))


def in_order(file: ast.File) -> ast.File:
    """The tree with the clauses of each rule in the formatter's order, which is all that it may change."""

    def rule(item: ast.PolicyItem | ast.RuleStatement) -> ast.PolicyItem | ast.RuleStatement:
        if isinstance(item, ast.Rule):
            return replace(item, clauses=tuple(clauses_in_order(item.clauses)))
        if isinstance(item, ast.RuleBlock):
            return replace(item, items=tuple(map(rule, item.items)))  # pyright: ignore[reportArgumentType]
        return item

    policies = tuple(replace(policy, items=tuple(map(rule, policy.items))) for policy in file.policies)  # pyright: ignore[reportArgumentType]
    return replace(file, policies=policies)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_what_ships_is_formatted(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert formatted(text) == text
    assert all(len(line) <= COLUMNS for line in text.splitlines())


def test_layout() -> None:
    text = (
        '# head\nlanguage 1;import "a.policy"\n\n\n\npolicy p extends moderate {  # behind the name\n'
        'network{allow connect "a.example","b.example" as x rate 60/min burst 5 port 443,80..90; # behind\n'
        '# before the deny\n\ndeny connect any because "x" # last\n# at the end\n}\n'
        'mcp { allow call "a:b" where (arg x==1 or arg y exists) and not (arg z < -2.50) }\nresources{}\n'
        'test "t" { expect deny call "a:b" with {"x":[1,{"y":null}]} } }\n# foot\n'
    )
    assert formatted(text) == (
        '# head\nlanguage 1\nimport "a.policy"\n\npolicy p extends moderate {\n  # behind the name\n'
        "  network {\n"
        '    allow connect "a.example", "b.example" port 443, 80..90 rate 60/min burst 5 as x  # behind\n'
        '    # before the deny\n\n    deny connect any because "x"  # last\n    # at the end\n  }\n'
        '  mcp {\n    allow call "a:b" where (arg x == 1 or arg y exists) and not arg z < -2.50\n'
        "  }\n  resources {}\n"
        '  test "t" {\n    expect deny call "a:b" with { "x": [1, { "y": null }] }\n  }\n}\n# foot\n'
    )


WORDS = st.from_regex(r"[a-z][a-z0-9-]{0,8}", fullmatch=True)
ESCAPES = st.sampled_from(["\\*", "\\n", "\\$", "\\u{41}", "\\\\", "*", "${home}", "é", "$"])
STRINGS = st.lists(st.one_of(WORDS, ESCAPES), max_size=4).map(lambda parts: '"' + "".join(parts) + '"')


def listed(strategy: st.SearchStrategy[str], *, most: int = 9) -> st.SearchStrategy[str]:
    return st.lists(strategy, min_size=1, max_size=most).map(", ".join)


TESTS = st.one_of(
    st.builds("arg {} matches text {}".format, WORDS.map(lambda w: w.replace("-", "_")), STRINGS),
    st.builds("some arg ** matches host {}".format, STRINGS),
    st.builds("arg {} <= {}".format, STRINGS.filter(lambda s: len(s) > 2), st.integers(-9, 9)),
    st.builds(
        "arg a in [{}]".format, listed(st.one_of(STRINGS, st.sampled_from(["true", "null", "1KiB", "-1.5"])))
    ),
    st.sampled_from(["arg a.b exists", "args only [a, b]", "arg a is string", "arg a length > 0"]),
)
CONDITIONS = st.recursive(
    TESTS,
    lambda inner: st.one_of(
        st.builds("({} and {})".format, inner, inner),
        st.builds("({} or {})".format, inner, inner),
        inner.map("not ({})".format),
    ),
    max_leaves=6,
)
RULES = st.one_of(
    st.builds(
        "filesystem {{ deny {} {} as {} hidden because {} }}".format,
        listed(st.sampled_from(["read", "write"])),
        listed(STRINGS),
        WORDS,
        STRINGS,
    ),
    st.builds(
        "network {{ allow connect {} rate {}/min inspect tls method GET port {} }}".format,
        listed(STRINGS),
        st.integers(1, 99),
        st.integers(1, 65535),
    ),
    st.builds("mcp {{ allow call {} where {} rate 1/s burst 2 }}".format, listed(STRINGS), CONDITIONS),
    st.builds("test {} {{ expect deny read {} via {} }}".format, STRINGS, STRINGS, listed(STRINGS)),
    st.builds("accept weaker {}".format, listed(WORDS, most=30)),
    st.builds("tripwire {} at {} then notify, kill".format, WORDS, listed(STRINGS)),
    st.builds(
        "environment {{ keep A, B* set C {} secret D from file {} for {} }}".format,
        STRINGS,
        STRINGS,
        listed(STRINGS),
    ),
)
COMMENTS = st.sampled_from(["", "", "", "# a\n", "\n# b\n\n", " # c\n"])
POLICIES = st.lists(st.tuples(RULES, COMMENTS), max_size=4, unique_by=lambda item: item[0].split()[0])


@given(POLICIES, COMMENTS)
def test_format_keeps_the_tree_and_is_done_once(items: list[tuple[str, str]], head: str) -> None:
    body = "\n".join(f"{rule}{comment}" for rule, comment in items)
    text = f"{head}language 1\npolicy p {{ {body}\n}}\n"
    once = formatted(text)
    assert in_order(read(once)) == in_order(read(text))
    assert [comment.text for comment in read(once).comments] == [
        comment.text for comment in read(text).comments
    ]
    assert formatted(once) == once
