"""Texts that are no policies: each code of the syntax, with its whole rendered text (policy-language §15)."""

from __future__ import annotations

import pytest
from syrupy.assertion import SnapshotAssertion

from replicante.policy.diagnostics import Source, apply_edits
from replicante.policy.parse import decode, parse, parse_request

# Name, codes by place, text behind `language 1`.
CASES: list[tuple[str, list[str], str]] = [
    ("unclosed-policy", ["P002"], "policy p {"),
    ("unclosed-block", ["P002"], 'policy p { filesystem { allow read "/a"'),
    ("half-a-rule", ["P001"], "policy p { filesystem { allow } }"),
    ("no-policy", ["P002"], ""),
    ("extra-brace", ["P001"], "policy p { } }"),
    ("missing-brace-before-block", ["P001"], 'policy p { filesystem { allow read "/a"\n network { } }'),
    ("missing-brace-before-policy", ["P001"], 'policy q { filesystem { deny read "/" } policy r {}'),
    ("comma-at-end", ["P001"], 'policy p { filesystem { allow read "/a", } }'),
    ("comma-at-end-of-json", ["P001"], 'policy p { test "t" { expect deny call "a:b" with { "x": 1, } } }'),
    ("two-strings", ["P001"], 'policy p { filesystem { allow read "/a" "/b" } }'),
    ("upper-case-name", ["P001"], "policy My-Policy {}"),
    ("long-name", ["P001"], f"policy {'a' * 65} {{}}"),
    ("variable-not-closed", ["P001"], 'policy p { filesystem { allow read "${home/a" } }'),
    ("open-string", ["P004"], 'policy p { description "no end\n}'),
    ("unknown-escape", ["P005"], 'policy p { description "C:\\data" }'),
    ("nul-escape", ["P005"], 'policy p { description "\\u{0}" }'),
    ("surrogate-escape", ["P005"], 'policy p { description "\\u{d800}" }'),
    ("unknown-block", ["P010"], 'policy p { filesytem { allow read "/a" } }'),
    ("unknown-effect", ["P010"], 'policy p { filesystem { alow read "/a" } }'),
    ("unknown-action", ["P010"], 'policy p { filesystem { allow raed "/a" } }'),
    ("unknown-clause", ["P010"], 'policy p { network { allow connect "a.example" prot 443 } }'),
    ("unknown-severity", ["P010"], "policy p { alert a severity hgh when denied.any then notify }"),
    ("unknown-reaction", ["P010"], 'policy p { tripwire t at "/a" then notfy }'),
    ("unknown-first-word", ["P010"], "polcy p {}"),
    ("megabytes", ["P011"], "policy p { resources { memory 64MB } }"),
    ("no-unit", ["P011"], "policy p { resources { memory 64 } }"),
    ("fraction-of-a-size", ["P011"], "policy p { resources { memory 1.5GiB } }"),
    ("two-units", ["P011"], "policy p { resources { wall-time 1h30m } }"),
    ("minutes", ["P011"], "policy p { resources { wall-time 90min } }"),
    ("count-with-unit", ["P011"], "policy p { resources { processes 1k } }"),
    ("per-minute", ["P011"], 'policy p { network { allow connect "a.example" port 443 rate 60/minute } }'),
    ("byte-rate", ["P011"], 'policy p { network { allow connect "a.example" port 443 upload 5MB/min } }'),
    ("zero-memory", ["P012"], "policy p { resources { memory 0B } }"),
    ("too-many", ["P012"], "policy p { resources { processes 99999999999999999999 } }"),
    ("size-overflow", ["P012"], "policy p { resources { memory 9999999999TiB } }"),
    ("four-decimals", ["P012"], "policy p { resources { cpu 1.2345 } }"),
    ("negative", ["P012"], "policy p { resources { processes -1 } }"),
    ("port-zero", ["P012"], "policy p { network { allow listen port 0 } }"),
    ("port-too-large", ["P012"], "policy p { network { allow listen port 65536 } }"),
    ("empty-range", ["P012"], "policy p { network { allow listen port 9000..8000 } }"),
    ("percent", ["P012"], "policy p { alert a severity low when used.memory >= 101% for 1m then notify }"),
    ("port-of-a-file", ["P013"], 'policy p { filesystem { allow read "/a" port 80 } }'),
    ("exactly-allow", ["P013"], 'policy p { filesystem { allow read "/a" exactly } }'),
    ("limit-on-deny", ["P013"], 'policy p { network { deny connect "a.example" rate 1/s } }'),
    ("inert-deny", ["P013"], 'policy p { filesystem { deny write "/a" unless inert } }'),
    ("limit-of-another-block", ["P013"], "policy p { network { limit max-file 1MiB } }"),
    ("expose-call", ["P013"], 'policy p { mcp { allow call "a:b" expose "/a" } }'),
    ("errno-allow", ["P013"], "policy p { syscalls { allow ptrace errno EPERM } }"),
    ("alert-pattern", ["P013"], 'policy p { alert a severity low when denied.any "/a" then notify }'),
    ("two-ports", ["P014"], 'policy p { network { allow connect "a.example" port 443 port 80 } }'),
    ("two-memories", ["P014"], "policy p { resources { memory 1GiB memory 2GiB } }"),
    ("two-homes", ["P014"], "policy p { home fresh home private }"),
    ("two-workspaces", ["P014"], "policy p { workspace overlay workspace overlay }"),
    ("two-keys", ["P015"], 'policy p { test "t" { expect deny call "a:b" with { "x": 1, "x": 2 } } }'),
    ("two-blocks", ["P061"], "policy p { mcp {} mcp {} }"),
    (
        "several",
        ["P010", "P011", "P010", "P014"],
        'policy p {\n  filesystem { alow read "/a" }\n  resources { memory 1MB }\n'
        '  network { deny conect "a.example" }\n}\npolicy q { home real home real }',
    ),
]


def text_of(body: str) -> str:
    return f"language 1\n{body}\n"


@pytest.mark.parametrize(("name", "codes", "body"), CASES, ids=[case[0] for case in CASES])
def test_diagnostic(name: str, codes: list[str], body: str, snapshots: SnapshotAssertion) -> None:
    _, diagnostics = parse(Source(text_of(body), "case.policy"))
    assert [diagnostic.code for diagnostic in diagnostics] == codes
    assert "\n".join(diagnostic.render() for diagnostic in diagnostics) == snapshots


@pytest.mark.parametrize(("name", "codes", "body"), CASES, ids=[case[0] for case in CASES])
def test_fix_it_removes_the_finding(name: str, codes: list[str], body: str) -> None:
    source = Source(text_of(body), "case.policy")
    _, diagnostics = parse(source)
    fixable = [diagnostic for diagnostic in diagnostics if diagnostic.edits]
    fixed = apply_edits(source, [edit for diagnostic in fixable for edit in diagnostic.edits])
    _, left = parse(Source(fixed))
    assert len(left) <= len(diagnostics) - len(fixable)


@pytest.mark.parametrize(
    "text", ["policy p {}", "language 2\npolicy p {}", "language one\npolicy p {}", "", "# only a comment"]
)
def test_a_file_starts_with_its_language(text: str) -> None:
    _, diagnostics = parse(Source(text))
    assert [diagnostic.code for diagnostic in diagnostics] == ["P006"]


@pytest.mark.parametrize("character", ["\x07", "\x00", "\u202e", "\u2066", "\x9b", "\r", "\ufeff"])
def test_characters_that_act_are_refused(character: str) -> None:
    source = Source(f"{character}language 1 # {character} x\npolicy p {{}}")
    file, diagnostics = parse(source)
    assert file is None
    assert {diagnostic.code for diagnostic in diagnostics} == {"P003"}
    assert character not in diagnostics[0].render() or character == "\r"


def test_bytes_of_a_file() -> None:
    assert decode(b"language 1\r\npolicy p {}", "f")[0] == Source("language 1\r\npolicy p {}", "f")
    for content, code in [
        (b"\xef\xbb\xbflanguage 1", "P003"),
        (b"language 1 \xff", "P003"),
        (b"#" * (1024 * 1024 + 1), "P007"),
    ]:
        source, diagnostics = decode(content, "f")
        assert source is None
        assert [diagnostic.code for diagnostic in diagnostics] == [code]


def test_not_more_than_fifty_findings() -> None:
    rules = "\n".join('allow raed "/a"' for _ in range(80))
    assert len(parse(Source(text_of(f"policy p {{ filesystem {{ {rules} }} }}")))[1]) == 50


def test_what_is_nested_too_deep_is_told() -> None:
    condition = "not " * 5000 + "arg a exists"
    _, diagnostics = parse(Source(text_of(f'policy p {{ mcp {{ allow call "a:b" where {condition} }} }}')))
    assert [diagnostic.code for diagnostic in diagnostics] == ["P007"]


def test_a_request_is_read_as_after_expect() -> None:
    request, diagnostics = parse_request('connect "a.example" port 443 method GET')
    assert request is not None
    assert diagnostics == []
    assert [diagnostic.code for diagnostic in parse_request("raed /a")[1]] == ["P010"]


def test_findings_as_json() -> None:
    found = parse(Source(text_of("policy p { resources { memory 64MB } }"), "a.policy"))[1][0].to_json()
    assert found["line"] == 2
    assert found["column"] == 31
    assert found["edits"] == [
        {"file": "a.policy", "line": 2, "column": 31, "end_line": 2, "end_column": 35, "text": "64MiB"}
    ]
