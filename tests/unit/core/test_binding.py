"""What the core gives to Python: exact values, typed errors, frozen answers."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from threading import Thread

import pytest

from replicante import (
    Engine,
    Glob,
    HostError,
    HostPattern,
    PathError,
    PatternError,
    PolicyError,
    RateLimit,
    ReplicanteError,
    normalize_host,
    normalize_path,
    parse_policy,
)
from replicante._core import (
    JournalReader,
    check_host_pattern,
    check_path_pattern,
    is_public_suffix,
    parse_cidr,
    parse_json,
    public_suffix_date,
    seccomp_program,
    syscall_groups,
    syscall_names,
)

POLICY = """
language 1
policy p {
  filesystem {
    allow read, write "/srv/**" as served
    deny read "/srv/private" as private because "not yours"
  }
  network { allow connect "a.example" port 443 as there }
  mcp { allow call "shop:buy" where arg amount <= 0.3 as buying }
}
"""


@pytest.fixture(scope="module")
def engine() -> Engine:
    return parse_policy(POLICY, filename="p.policy", variables={}).compile()


def test_canonical_forms() -> None:
    assert normalize_path("/srv/a") == "/srv/a"
    assert normalize_host("Bücher.Example.") == "xn--bcher-kva.example"
    assert parse_cidr("10.0.0.0/8") == "10.0.0.0/8"


@pytest.mark.parametrize(
    ("call", "kind", "code"),
    [
        (lambda: normalize_path("/a/../b"), PathError, None),
        (lambda: normalize_host("a..b"), HostError, "P037"),
        (lambda: normalize_host("0177.0.0.1"), HostError, "P038"),
        (lambda: Glob("srv"), PatternError, "P030"),
        (lambda: check_path_pattern("/proc/self/maps"), PatternError, "P034"),
        (lambda: check_host_pattern("a.*.example"), PatternError, "P035"),
        (lambda: HostPattern("*"), PatternError, "P036"),
        (lambda: parse_cidr("10.0.0.1/8"), PatternError, "P038"),
        (lambda: Engine(b"{}"), PolicyError, None),
    ],
)
def test_refusals_are_typed(
    call: Callable[[], object], kind: type[ReplicanteError], code: str | None
) -> None:
    with pytest.raises(kind) as refused:
        call()
    assert refused.value.code == code


def test_a_pattern_error_says_where() -> None:
    with pytest.raises(PatternError) as refused:
        check_path_pattern("/srv/a?")
    assert (refused.value.code, refused.value.offset) == ("P032", 6)


def test_patterns() -> None:
    assert Glob("/srv/*.log").matches("/srv/a.log")
    assert not Glob("/srv/*.log").matches("/srv/d/a.log")
    assert HostPattern("*.example").matches("A.example")
    assert not HostPattern("*.example").matches("a.b.example")
    assert HostPattern("10.0.0.0/8").matches("::ffff:10.1.2.3")


def test_public_suffixes() -> None:
    assert is_public_suffix("co.uk") and is_public_suffix("github.io")
    assert not is_public_suffix("github.com")
    assert public_suffix_date()


def test_a_decision_and_its_rule(engine: Engine) -> None:
    decision = engine.decide("read", "/srv/private/x")
    assert (decision.effect, decision.allowed, decision.reason) == ("deny", False, "deny-rule")
    rule = decision.rule
    assert rule is not None
    assert (rule.id, rule.file, rule.line, rule.because) == ("p/private", "p.policy", 6, "not yours")
    assert decision.nearest_allow is None
    with pytest.raises(AttributeError):
        decision.effect = "allow"  # type: ignore[misc] # pyright: ignore[reportAttributeAccessIssue]


def test_every_name_of_an_object_restricts(engine: Engine) -> None:
    assert engine.decide("read", "/srv/x").allowed
    assert not engine.decide("read", "/srv/x", via=["/srv/private"]).allowed
    assert engine.decide("read", "/srv/a/../x").reason == "undecidable"


def test_silence_names_the_nearest_allow(engine: Engine) -> None:
    decision = engine.decide("connect", "a.example", port=80)
    assert decision.reason == "no-allow-rule" and decision.rule is None
    nearest = decision.nearest_allow
    assert nearest is not None
    assert (nearest.rule.id, nearest.differs) == ("p/there", ["port differs: 443 is not 80"])


def test_an_explanation(engine: Engine) -> None:
    explained = engine.explain("read", "/srv/private/x")
    assert (explained.outcome, explained.reason, explained.nearest_allow) == ("deny", "deny-rule", None)
    assert [rule.id for rule in explained.would_allow] == ["p/served"]
    assert explained.lifted_by == 'override allow read "/srv/private/x"'
    assert engine.fix("read", "/srv/private/x") == explained.lifted_by
    assert engine.fix("read", "/srv/x") is None


def test_many_at_once(engine: Engine) -> None:
    paths = ["/srv/x", "/srv/private", "/etc"]
    assert [one.effect for one in engine.decide_many("read", paths)] == ["allow", "deny", "deny"]
    assert engine.decide_many("read", []) == []


@pytest.mark.parametrize(
    ("amount", "effect"),
    [
        (Decimal("0.3"), "allow"),
        (0.3, "allow"),
        (Decimal("0.30000000000000000001"), "deny"),
        (0, "allow"),
        ("0", "deny"),
    ],
)
def test_numbers_of_arguments_are_exact(engine: Engine, amount: float | Decimal | str, effect: str) -> None:
    assert engine.decide("call", "shop:buy", arguments={"amount": amount}).effect == effect


@pytest.mark.parametrize("word", ["", "reads", "connect  unix"])
def test_an_unknown_action_is_a_mistake(engine: Engine, word: str) -> None:
    with pytest.raises(ValueError, match="is no action"):
        engine.decide(word, "/x")


def test_wrong_arguments_are_mistakes(engine: Engine) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'ports'"):
        engine.decide("connect", "a.example", ports=443)  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
    with pytest.raises(ValueError, match="no number of JSON"):
        engine.decide("call", "shop:buy", arguments={"amount": float("nan")})
    with pytest.raises(ValueError, match="no protocol"):
        engine.decide("connect", "a.example", protocol="sctp")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


def test_strict_json() -> None:
    value = parse_json('{"a": [1, 1.5, 1e2, -0, true, null, "\\u00fc"]}')
    assert value == {"a": [1, Decimal("1.5"), 100, 0, True, None, "ü"]}
    for text in ('{"a": 1, "a": 2}', "[1,]", '"\\ud800"', "1e400", "[" * 65 + "]" * 65):
        with pytest.raises(ValueError, match="at byte"):
            parse_json(text)


def test_a_bucket_shared_by_threads_gives_its_tokens_once() -> None:
    limit = RateLimit(1, 3600, 50)
    taken: list[bool] = []
    threads = [Thread(target=lambda: taken.extend(limit.check(0) for _ in range(25))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(taken) == 50
    with pytest.raises(ValueError, match="at least 1"):
        RateLimit(0, 1, 1)


def test_a_journal_that_is_none_is_refused() -> None:
    reader = JournalReader()
    assert reader.read(b"") == ([], 0)
    assert reader.read(b"RJ01") == ([], 0)
    with pytest.raises(ValueError, match="not a frame"):
        reader.read(b"{}" * 100)


def test_system_calls() -> None:
    groups = syscall_groups()
    assert groups["@swap"] == ["swapoff", "swapon"]
    assert "read" in groups["@standard"] and "ptrace" not in groups["@standard"]
    assert {call for calls in groups.values() for call in calls} <= set(syscall_names())


def test_the_filter_follows_the_policy(engine: Engine) -> None:
    allow_less = parse_policy("language 1\npolicy p { syscalls { allow getpid } }", variables={})
    standard, less = seccomp_program(engine), seccomp_program(allow_less.compile())
    assert all(code < 1 << 16 and jt < 256 and jf < 256 for code, jt, jf, _ in standard)
    assert standard != less
