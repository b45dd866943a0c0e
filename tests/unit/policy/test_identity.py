"""What changes the identity of a policy and what does not (D2), and what its text is good for."""

from __future__ import annotations

import pytest

from replicante import Policy, parse_policy

BODY = 'filesystem { allow read, write "/a/**", "/b" deny read "/a/x" because "secret" }'


def policy(text: str, **variables: str) -> Policy:
    return parse_policy(f"language 1\n{text}", variables=variables)


SAME = [
    'policy p { filesystem { deny read "/a/x" because "another reason" allow read, write "/a/**", "/b" } }',
    'policy p { filesystem { allow write, read "/b", "/a/**" deny read "/a/x" } }',
    'policy p {\n  # a comment\n  description "prose"\n  filesystem {\n    allow read, write "/a/**", "/b";\n'
    '    deny read "/a/x"\n  }\n}',
    'policy p { filesystem { allow read, write "/a/**", "/b" deny read "/a/x" deny read "/a/x" } }',
]


@pytest.mark.parametrize("text", SAME)
def test_prose_order_and_layout_change_nothing(text: str) -> None:
    assert policy(text).identity == policy(f"policy p {{ {BODY} }}").identity
    assert policy(text).trust_digest == policy(f"policy p {{ {BODY} }}").trust_digest


DIFFERENT = [
    f"policy q {{ {BODY} }}",
    f"policy p {{ {BODY} resources {{ memory 1GiB }} }}",
    'policy p { filesystem { allow read, write "/a/**" deny read "/a/x" } }',
    'policy p { filesystem { allow read, write "/a/**", "/b" deny read "/a/x" exactly } }',
    f'policy p {{ {BODY} test "t" {{ expect deny read "/c" }} }}',
]


@pytest.mark.parametrize("text", DIFFERENT)
def test_meaning_changes_it(text: str) -> None:
    assert policy(text).identity != policy(f"policy p {{ {BODY} }}").identity


def test_variables_change_the_identity_and_not_the_trust_digest() -> None:
    rule, test = 'allow read "${workspace}/**"', 'expect allow read "${workspace}/a"'
    text = f'policy p {{ filesystem {{ {rule} }} test "t" {{ {test} }} }}'
    one, other = policy(text, workspace="/w1"), policy(text, workspace="/w2")
    assert one.identity != other.identity
    assert one.trust_digest == other.trust_digest


def test_only_mentioned_variables_are_bound() -> None:
    text = 'policy p { filesystem { allow read "${workspace}/**" } }'
    bound = policy(text, workspace="/w", home="/h", run="r1")
    assert bound.bindings.variables == {"workspace": "/w"}
    assert bound.identity == policy(text, workspace="/w", run="r2").identity


def test_a_wildcard_in_a_value_is_no_wildcard() -> None:
    engine = policy('policy p { filesystem { allow read "${workspace}/*" } }', workspace="/w*").compile()
    assert engine.decide("read", "/w*/a").allowed
    assert not engine.decide("read", "/wx/a").allowed


def test_a_literal_dollar_is_no_variable() -> None:
    literal = policy('policy p { filesystem { allow read "/\\$\\{workspace\\}" } }')
    assert literal.compile().decide("read", "/${workspace}").allowed


def test_the_text_loads_to_the_same_identity() -> None:
    text = (
        'policy base { network { allow connect "a.example" port 443 rate 60/min as a } }\n'
        "policy p extends base { network { override limits of a rate 90/min } }"
    )
    loaded = parse_policy(f"language 1\n{text}", name="p")
    assert parse_policy(loaded.text(), name="p").identity == loaded.identity


def test_the_same_policy_compiles_to_the_same_bytes() -> None:
    assert policy(f"policy p {{ {BODY} }}").compiled_form == policy(f"policy p {{ {BODY} }}").compiled_form
