"""What `policy lint` tells of a policy that loads, and of what it says nothing (W120, W121, W125, W126)."""

from __future__ import annotations

import pytest

from replicante import load_policy, parse_policy
from replicante.policy.diagnostics import Diagnostic
from replicante.policy.lint import lint
from replicante.policy.shipped import shipped_names

BINDINGS = {
    "workspace": "/some-workspace",
    "home": "/some-home",
    "tmp": "/tmp",
    "cache": "/agent/cache",
    "runtime": "/agent/run",
    "agent": "coder",
    "run": "r1",
    "user": "ada",
}


def findings(body: str) -> list[Diagnostic]:
    policy = parse_policy(f"language 1\n{body}\n", name="p", filename="case.policy", variables=BINDINGS)
    return lint(policy)


def files(rules: str) -> str:
    return f"policy p {{ filesystem {{ {rules} }} }}"


def network(rules: str) -> str:
    return f"policy p {{ network {{ {rules} }} }}"


def mcp(rules: str) -> str:
    return f"policy p {{ mcp {{ {rules} }} }}"


# Name, body, labels of the rules that are needless. Each labelled rule is told or not told on purpose.
NEEDLESS: list[tuple[str, str, set[str]]] = [
    ("below a tree", files('allow read "/srv/**" as wide allow read "/srv/a/*" as small'), {"small"}),
    ("the tree itself", files('allow read "/srv/**" as wide allow read "/srv" as small'), {"small"}),
    ("order means nothing", files('allow read "/srv/a" as small allow read "/srv/**" as wide'), {"small"}),
    ("the same twice", files('allow read "/a" as first allow read "/a" as second'), {"second"}),
    (
        "each part elsewhere",
        files('allow read "/a" as a allow write "/a" as b allow read, write "/a" as c'),
        {"c"},
    ),
    ("one part nowhere", files('allow read "/a" as a allow read, write "/a/b" as b'), set()),
    ("beside a tree", files('allow read "/srv/**" as wide allow read "/srvx" as other'), set()),
    ("one segment is not all", files('allow read "/srv/*" as one allow read "/srv/a/b" as two'), set()),
    ("another action", files('allow read "/srv/**" as r allow write "/srv/a" as w'), set()),
    (
        "an allow with a limit counts",
        files('allow write "/**" as w allow write "/a" max-file 1MiB as l'),
        set(),
    ),
    (
        "the limited tree still allows",
        files('allow write "/**" max-file 1MiB as l allow write "/a" as w'),
        {"w"},
    ),
    (
        "a deny closes downward",
        files('deny read "/srv" as wide deny read "/srv/a/**" exactly as small'),
        {"small"},
    ),
    ("an exact deny does not", files('deny read "/srv" exactly as e deny read "/srv/a" as d'), set()),
    ("a deny below an exact tree", files('deny read "/a/**" exactly as e deny read "/a/b" as d'), {"d"}),
    ("hidden is another face", files('deny read "/srv" as plain deny read "/srv/a" hidden as h'), set()),
    ("existing covers less", files('deny read "/srv" existing as e deny read "/srv/a" as all'), set()),
    ("existing within all", files('deny read "/srv" as all deny read "/srv/a" existing as e'), {"e"}),
    ("a never covers a deny", files('deny read "/a/b" as d')[:-1] + ' never allow read "/a" as n }', {"d"}),
    ("an allow below a deny", files('deny any "/srv" as d allow read "/srv/a" as a'), {"a"}),
    ("an allow around a deny", files('deny any "/srv/a" as d allow read "/srv/**" as a'), set()),
    ("an allow beside existing", files('deny any "/srv" existing as d allow read "/srv/a" as a'), set()),
    ("a hold below a deny", files('deny write "/srv" as d hold write "/srv/a" as h'), {"h"}),
    ("inert holds less", files('hold write "/a" unless inert as i hold write "/a/b" as h'), set()),
    ("a hold of all", files('hold write "/a" as h hold write "/a/b" unless inert as i'), {"i"}),
    ("a tripwire denies", files('allow read "/a/b" as a')[:-1] + ' tripwire t at "/a" then notify }', {"a"}),
    ("stars within a name", files('allow read "/srv/a*" as wide allow read "/srv/ab*" as small'), {"small"}),
    ("two trees", files('allow read "/**/x/**" as wide allow read "/a/**/x/b" as small'), {"small"}),
    ("a tree is not a segment", files('allow read "/a/*/b" as one allow read "/a/**/b" as any'), {"one"}),
    (
        "home and workspace are anywhere",
        files('allow read "${home}/**" as h allow read "${workspace}/**" as w'),
        set(),
    ),
    (
        "a name in a wildcard",
        network('allow connect "**.x.example" port 443 as w allow connect "a.x.example" port 443 as n'),
        {"n"},
    ),
    (
        "another port",
        network('allow connect "**.x.example" port 443 as w allow connect "a.x.example" port 80 as n'),
        set(),
    ),
    (
        "fewer ports",
        network('allow connect "x.example" port 1..99 as w allow connect "x.example" port 5, 7..9 as n'),
        {"n"},
    ),
    (
        "any covers a name",
        network('allow connect any port 443 as w allow connect "x.example" port 443 as n'),
        {"n"},
    ),
    (
        "any covers no private address",
        network('allow connect any port 443 as w allow connect "10.0.0.5" port 443 as n'),
        set(),
    ),
    (
        "to private is more",
        network('allow connect any port 443 as w allow connect "x.example" port 443 to private as n'),
        set(),
    ),
    (
        "a block in a block",
        network('allow connect "10.0.0.0/8" port 80 as w allow connect "10.1.0.0/16" port 80 as n'),
        {"n"},
    ),
    (
        "two blocks",
        network('allow connect "10.0.0.0/8" port 80 as w allow connect "11.1.0.0/16" port 80 as n'),
        set(),
    ),
    (
        "udp is not tcp",
        network('allow connect "1.1.1.1" port 53 as t allow connect "1.1.1.1" port 53 protocol udp as u'),
        set(),
    ),
    (
        "inspection counts",
        network(
            'allow connect "x.example" port 443 as w allow connect "x.example" port 443 inspect tls as n'
        ),
        set(),
    ),
    (
        "fewer methods",
        network(
            'allow connect "x.example" port 443 inspect tls as w '
            'allow connect "x.example" port 443 inspect tls method GET as n'
        ),
        {"n"},
    ),
    (
        "a deny of a port",
        network(
            'deny connect any port 25 as mail allow connect "x.example" port 25 as n '
            'allow connect "y.example" port 25, 443 as m'
        ),
        {"n"},
    ),
    (
        "a deny of all addresses is none of a name",
        network('deny connect "0.0.0.0/0" as d allow connect "x.example" port 443 as n'),
        set(),
    ),
    (
        "a subdomain of a deny",
        network('deny connect "x.example" as w deny connect "**.a.x.example" as n'),
        {"n"},
    ),
    (
        "resolving is not connecting",
        network('allow resolve "x.example" as r allow connect "x.example" port 443 as c'),
        set(),
    ),
    (
        "listening",
        network("allow listen port 1..99 as w allow listen port 80 as n allow listen port 81 publish as p"),
        {"n"},
    ),
    (
        "a tool in a server",
        mcp('allow call "g:*" as w allow call "g:get_*" as n allow call "h:get" as o'),
        {"n"},
    ),
    (
        "a call under a condition",
        mcp('allow call "g:get" where arg a == 1 as c allow call "g:get" as w'),
        {"c"},
    ),
    (
        "a condition covers not all",
        mcp('deny call "g:get" where arg a == 1 as c allow call "g:get" as w'),
        set(),
    ),
    ("other roots", mcp('allow roots "f" expose "/a" as a allow roots "f" expose "/b" as b'), set()),
    ("system calls", "policy p { syscalls { deny @mount as d allow mount as a allow read as r } }", {"a"}),
    ("another errno", "policy p { syscalls { deny @mount as d deny mount errno ENOSYS as e } }", set()),
    (
        "inherited rules are not this policy's",
        'policy b { filesystem { allow read "/srv/**" as w } }\n'
        'policy p extends b { filesystem { allow read "/srv/a" as n } }',
        set(),
    ),
]


@pytest.mark.parametrize(
    ("body", "labels"), [case[1:] for case in NEEDLESS], ids=[case[0] for case in NEEDLESS]
)
def test_needless_rules(body: str, labels: set[str]) -> None:
    told = [finding for finding in findings(body) if finding.code == "W120"]
    text = f"language 1\n{body}\n"
    shown = {text[one.span.start : one.span.end].rpartition(" as ")[2].split()[0] for one in told}
    assert shown == labels


def test_a_needless_rule_names_the_one_that_says_it_and_where() -> None:
    told = findings('policy p {\n filesystem {\n  allow read "/a/**" as w\n  allow read "/a/b" as n\n } }')
    assert [(one.code, one.severity, one.span.line) for one in told] == [("W120", "warning", 5)]
    assert told[0].message == "all of this stands in `p/w` already"
    assert [note.span.line for note in told[0].notes] == [4]


# Name, body, label of the rule at which it is told.
WRITTEN_CODE: list[tuple[str, str, list[str]]] = [
    ("one rule", files('allow write, execute "/srv/**" as a'), ["a"]),
    ("making is writing", files('allow create, execute "/srv/**" as a'), ["a"]),
    ("two rules", files('allow write "/srv/**" as w allow execute "/srv/bin/*" as x'), ["w"]),
    ("one name", files('allow write "/srv/run" as w allow execute "/srv/**" as x'), ["w"]),
    ("no common name", files('allow write "/srv/data/**" as w allow execute "/srv/bin/**" as x'), []),
    ("a deny between", files('allow write, execute "/srv/**" as a deny write "/srv" as d'), []),
    ("the own trees", files('allow write, execute "${workspace}/**", "${tmp}/**", "${cache}/**" as a'), []),
    ("within the workspace", files('allow write "${workspace}/**" as w allow execute "/**" as x'), []),
    ("the home", files('allow write "${home}/**" as w allow execute "/**" as x'), ["w"]),
    ("kernel files", files('allow write "/proc/*/comm", "/dev/null" as w allow execute "/**" as x'), []),
    ("shared memory", files('allow write "/dev/shm/**" as w allow execute "/**" as x'), ["w"]),
    (
        "an ancestor's half",
        'policy b { filesystem { allow execute "/opt/**" as x } }\n'
        'policy p extends b { filesystem { allow write "/opt/cache/**" as w } }',
        ["w"],
    ),
    (
        "both halves in an ancestor",
        'policy b { filesystem { allow write, execute "/opt/**" as x } }\npolicy p extends b {}',
        [],
    ),
]


@pytest.mark.parametrize(
    ("body", "labels"), [case[1:] for case in WRITTEN_CODE], ids=[case[0] for case in WRITTEN_CODE]
)
def test_written_code(body: str, labels: list[str]) -> None:
    told = [finding for finding in findings(body) if finding.code == "W121"]
    text = f"language 1\n{body}\n"
    assert [text[one.span.start : one.span.end].rpartition(" as ")[2] for one in told] == labels


def test_written_code_is_told_with_the_pattern_as_written() -> None:
    told = findings(files('allow write "${home}/x/**" as w allow execute "/**" as x'))
    assert told[0].message == "what is written at `${home}/x/**` may be executed: see `p/x`"


def test_denies_without_label() -> None:
    told = findings(
        'policy p { filesystem { deny read "/a" deny read "/b" as b hold write "/a" allow read "/c" } '
        'never allow read "/d" syscalls { deny ptrace deny mount as m } }'
    )
    assert [one.code for one in told] == ["W125", "W125"]
    assert "events call it `p/read." in told[0].message
    assert "events call it `p/syscall." in told[1].message


@pytest.mark.parametrize(
    ("rule", "shorter"),
    [
        ('deny read "/a/**" as d', "/a"),
        ('hold write "/a/**/b/**" as d', "/a/**/b"),
        ('allow read "/a/**/**/b" as d', "/a/**/b"),
        ('deny read "/a/**" exactly as d', None),
        ('deny read "/**" as d', None),
        ('allow read "/a/**" as d', None),
        ('deny read "/a/*" as d', None),
    ],
)
def test_wildcards_that_add_nothing(rule: str, shorter: str | None) -> None:
    told = [finding for finding in findings(files(rule)) if finding.code == "W126"]
    assert [one.fix for one in told] == ([] if shorter is None else [f"write `{shorter}`"])


def test_a_host_beside_its_subdomains_in_a_deny() -> None:
    told = findings(network('deny connect "x.example", "**.x.example" as d'))
    assert [(one.code, one.fix) for one in told] == [("W126", "write `x.example`")]
    assert not findings(network('allow connect "x.example", "**.x.example" port 443 as d'))


def test_what_loading_warns_of_is_told_as_well() -> None:
    assert [one.code for one in findings("policy p { environment { keep GH_TOKEN } }")] == ["W122"]


@pytest.mark.parametrize("name", sorted(shipped_names()))
def test_the_policies_that_ship_say_nothing_needless(name: str) -> None:
    told = lint(load_policy(name, variables=BINDINGS))
    # A machine to throw away may run what is written anywhere; every other policy keeps the two apart.
    assert {one.code for one in told} == ({"W121"} if name == "permissive" else set())
