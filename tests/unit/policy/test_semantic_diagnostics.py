"""What refuses a policy that parses: each code, with its place, its text and its fix-it."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from syrupy.assertion import SnapshotAssertion

from replicante import PolicyError, parse_policy
from replicante.policy.diagnostics import Diagnostic, Source, apply_edits

# Name, codes in the order in which they are told, text. A `policy p` is what is loaded.
CASES: list[tuple[str, list[str], str]] = [
    ("home-tilde", ["P030"], 'policy p { filesystem { allow read "~/x" } }'),
    ("relative-path", ["P030"], 'policy p { filesystem { deny read "src/x" } }'),
    ("trailing-slash", ["P031"], 'policy p { filesystem { allow read "/srv/" } }'),
    ("double-star-inside", ["P031"], 'policy p { filesystem { allow read "/a**b" } }'),
    ("dot-segments", ["P031"], 'policy p { filesystem { allow read "/a/../b" } }'),
    ("brackets", ["P032"], 'policy p { filesystem { deny read "/srv/[ab]" } }'),
    ("question-mark", ["P032"], 'policy p { filesystem { deny read "/srv/a?" } }'),
    ("allow-any", ["P033"], 'policy p { filesystem { allow any "/w/**" } }'),
    ("proc-self", ["P034"], 'policy p { filesystem { allow read "/proc/self/maps" } }'),
    ("star-in-label", ["P035"], 'policy p { network { allow connect "a*.x.example" port 443 } }'),
    ("star-not-first", ["P035"], 'policy p { network { allow connect "a.*.example" port 443 } }'),
    ("public-suffix", ["P036"], 'policy p { network { allow connect "**.co.uk" port 443 } }'),
    ("all-hosts", ["P036"], 'policy p { network { allow connect "**" port 443 } }'),
    ("bad-host", ["P037"], 'policy p { network { allow connect "a_b.example" port 443 } }'),
    ("host-bits", ["P038"], 'policy p { network { deny connect "10.0.0.1/8" } }'),
    ("no-port", ["P039"], 'policy p { network { allow connect "x.example" as x } }'),
    ("unknown-variable", ["P042"], 'policy p { filesystem { allow read "${worksapce}/a" } }'),
    ("variable-inside", ["P043"], 'policy p { filesystem { allow read "/a/${home}" } }'),
    ("unknown-host-set", ["P044"], "policy p { network { allow connect @source-forge port 443 } }"),
    ("unknown-syscall", ["P044"], "policy p { syscalls { deny ptrce } }"),
    ("unknown-group", ["P044"], "policy p { syscalls { deny @mounts } }"),
    ("unknown-stand-in", ["P044"], "policy p { accept weaker memroy }"),
    (
        "covered-allow",
        ["P050"],
        'policy b { filesystem { deny read "/a" } }\n'
        'policy p extends b { filesystem { allow read "/a/**" } }',
    ),
    (
        "covered-host",
        ["P050"],
        'policy b { network { deny connect "evil.example" } }\n'
        'policy p extends b { network { allow connect "**.evil.example" port 443 } }',
    ),
    (
        "covered-by-never",
        ["P050"],
        'policy b { never allow write "/etc" }\n'
        'policy p extends b { filesystem { allow write "/etc/hosts" } }',
    ),
    (
        "covered-syscall",
        ["P050"],
        "policy b { syscalls { deny ptrace } }\npolicy p extends b { syscalls { allow ptrace } }",
    ),
    (
        "larger-memory",
        ["P051"],
        "policy b { resources { memory 1GiB } }\npolicy p extends b { resources { memory 2GiB } }",
    ),
    (
        "larger-block-limit",
        ["P051"],
        "policy b { network { limit connections 4 } }\n"
        "policy p extends b { network { limit connections 4 } }",
    ),
    (
        "larger-rate",
        ["P051"],
        "policy b { network { limit rate 60/min burst 6 } }\n"
        "policy p extends b { network { limit rate 2/s burst 6 } }",
    ),
    ("wider-home", ["P051"], "policy b { home fresh }\npolicy p extends b { home real }"),
    ("direct-workspace", ["P051"], "policy b { workspace overlay }\npolicy p extends b { workspace direct }"),
    ("override-alone", ["P052"], 'policy p { filesystem { override allow read "/a" } }'),
    (
        "override-elsewhere",
        ["P052"],
        'policy b { filesystem { deny read "/a" } }\n'
        'policy p extends b { filesystem { override allow read "/b/**" } }',
    ),
    ("override-no-limit", ["P052"], "policy p { resources { override memory 1GiB } }"),
    (
        "override-only-never",
        ["P052"],
        'policy b { never allow read "/a" }\npolicy p extends b { filesystem { override allow read "/a" } }',
    ),
    (
        "override-unknown-label",
        ["P052"],
        'policy b { network { allow connect "a.example" port 443 rate 1/s as forge } }\n'
        "policy p extends b { network { override limits of forges rate 2/s } }",
    ),
    ("hold-read", ["P053"], 'policy p { filesystem { hold read "/a" } }'),
    ("hold-connect", ["P053"], 'policy p { network { hold connect "x.example" port 443 } }'),
    ("udp-name", ["P054"], 'policy p { network { allow connect "x.example" port 443 protocol udp } }'),
    ("method-unseen", ["P055"], 'policy p { network { allow connect "x.example" port 443 method GET } }'),
    ("secret-unseen", ["P055"], 'policy p { environment { secret T from env T for "api.example.com" } }'),
    ("roots-without-expose", ["P056"], 'policy p { mcp { allow roots "f" } }'),
    ("matches-what", ["P057"], 'policy p { mcp { allow call "f:x" where arg a matches "b*" } }'),
    ("keep-loader", ["P058"], "policy p { environment { keep LD_PRELOAD } }"),
    ("set-loader", ["P058"], 'policy p { environment { set LD_PRELOAD "/a.so" } }'),
    ("keep-secret-prefix", ["P058"], "policy p { environment { keep GH_TOKEN_* } }"),
    ("keep-admin", ["P058"], "policy p { capabilities { keep SYS_ADMIN } }"),
    ("keep-unknown-capability", ["P058"], "policy p { capabilities { keep NET_BIND_SERVISE } }"),
    (
        "parents-differ",
        ["P059"],
        'policy a { environment { set X "1" } }\npolicy b { environment { set X "2" } }\n'
        "policy p extends a, b {}",
    ),
    ("unknown-parent", ["P020"], "policy p extends nobody {}"),
    ("mistyped-parent", ["P020"], "policy p extends modrate {}"),
    ("extends-cycle", ["P022", "P022"], "policy p extends q {}\npolicy q extends p {}"),
    ("reserved-name", ["P023"], "policy strict {}"),
    ("two-policies-of-a-name", ["P016"], "policy p {}\npolicy p {}"),
    ("duplicate-label", ["P016"], 'policy p { filesystem { allow read "/a" as x allow read "/b" as x } }'),
    (
        "inherited-tripwire-name",
        ["P016"],
        'policy b { tripwire t at "/a" then notify }\npolicy p extends b { tripwire t at "/b" then notify }',
    ),
    ("failed-test", ["P070"], 'policy p { test "t" { expect allow read "/a" } }'),
    ("impossible-outcome", ["P071"], 'policy p { test "t" { expect hold read "/a" } }'),
    ("wildcard-expectation", ["P072"], 'policy p { test "t" { expect deny read "/a/*" } }'),
    (
        "several-findings",
        ["P030", "P039", "P044"],
        'policy p {\n  filesystem { allow read "~/x" }\n  network { allow connect "x.example" }\n'
        "  accept weaker nothing\n}",
    ),
]


def text_of(body: str) -> str:
    return f"language 1\n{body}\n"


def refused(text: str, bindings: dict[str, str]) -> tuple[Diagnostic, ...]:
    with pytest.raises(PolicyError) as caught:
        parse_policy(text, filename="case.policy", name="p", variables=bindings)
    return tuple(caught.value.diagnostics)


def rendered(diagnostics: Iterable[Diagnostic]) -> str:
    return "\n".join(diagnostic.render() for diagnostic in diagnostics)


@pytest.mark.parametrize(("name", "codes", "body"), CASES, ids=[case[0] for case in CASES])
def test_diagnostic(
    name: str, codes: list[str], body: str, bindings: dict[str, str], snapshots: SnapshotAssertion
) -> None:
    diagnostics = refused(text_of(body), bindings)
    assert [diagnostic.code for diagnostic in diagnostics] == codes
    assert rendered(diagnostics) == snapshots


@pytest.mark.parametrize(("name", "codes", "body"), CASES, ids=[case[0] for case in CASES])
def test_fix_it_removes_the_finding(name: str, codes: list[str], body: str, bindings: dict[str, str]) -> None:
    text = text_of(body)
    diagnostics = refused(text, bindings)
    edits = [edit for diagnostic in diagnostics for edit in diagnostic.edits]
    if not edits:
        return
    fixed = apply_edits(Source(text, "case.policy"), edits)
    fixable = {diagnostic.code for diagnostic in diagnostics if diagnostic.edits}
    try:
        parse_policy(fixed, filename="case.policy", name="p", variables=bindings)
    except PolicyError as error:
        assert not fixable & {diagnostic.code for diagnostic in error.diagnostics}, fixed
