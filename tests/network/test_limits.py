"""Amounts: how many connections and requests, how many of them at once, how many bytes in which time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Arena
    from tests.network.conftest import World

CURL = "curl -sS --max-time 20"


def test_a_spent_rate_refuses_a_connection(net: Arena, world: World) -> None:
    script = f"for n in 1 2 3; do {CURL} http://allowed.test/$n; echo; done"
    assert len(net.plain(script).out.splitlines()) == 3
    world.forget()
    rules = net.policy('network { allow connect "allowed.test" port 80 rate 2/day burst 2 as few }')
    done = net.inside(script, policy=rules)
    assert [line["path"] for line in world.heard("http")] == ["/1", "/2"]
    (denial,) = done.report["denials"]
    assert (denial["resource"], denial["rule"]) == ("allowed.test:80", "small/few")
    assert denial["limit"] == "rate 2/day is spent for over 30 s"
    assert denial["would_allow"] is None
    assert done.err.startswith("curl: ("), "the client is not told"


def test_a_rate_counts_requests_where_they_are_read(net: Arena, world: World) -> None:
    script = f"{CURL} -w '\\n%{{http_code}} %{{num_connects}}\\n' http://allowed.test/1 http://allowed.test/2"
    assert net.plain(script).out.splitlines()[1::2] == ["200 1", "200 0"]
    world.forget()
    rules = 'network { allow connect "allowed.test" port 80 protocol http rate 1/day burst 1 as few }'
    done = net.inside(script, policy=net.policy(rules))
    assert [line["path"] for line in world.heard("http")] == ["/1"]
    codes = [line for line in done.out.splitlines() if line[:3].isdigit()]
    assert codes == ["200 1", "429 0"], "the connection goes on"
    assert "rate 1/day is spent for over 30 s" in done.out
    (denial,) = done.report["denials"]
    assert denial["resource"] == "GET http://allowed.test:80/2"


AT_ONCE = """python3 - <<'END'
import socket, select
ends = [socket.create_connection(("allowed.test", 25), 20) for _ in range(3)]
greeted = []
def greetings(count):
    while len(greeted) < count:
        for end in select.select([end for end in ends if end not in greeted], [], [], 20)[0]:
            assert end.recv(99).startswith(b"220"), "not greeted"
            greeted.append(end)
greetings(2)
waiting = [end for end in ends if end not in greeted]
print(len(greeted) + len(select.select(waiting, [], [], 1)[0]), "greeted at once")
greeted[0].close()
ends.remove(greeted[0])
greetings(3)
print("all greeted")
END
"""


def test_one_connection_too_many_waits_until_one_ends(net: Arena) -> None:
    plain = net.policy('network { allow connect "allowed.test" port 25 as mail }')
    assert net.inside(AT_ONCE, policy=plain).out.splitlines() == ["3 greeted at once", "all greeted"]
    rules = net.policy('network { allow connect "allowed.test" port 25 connections 2 as mail }')
    done = net.inside(AT_ONCE, policy=rules)
    assert done.out.splitlines() == ["2 greeted at once", "all greeted"], done


@pytest.mark.parametrize("kind", ["", "protocol http"])
@pytest.mark.parametrize("direction", ["upload", "download"])
def test_bytes_come_no_faster_than_their_limit(net: Arena, world: World, direction: str, kind: str) -> None:
    """Two transfers at once, of 128 KiB each: beyond the burst of 64 KiB 192 KiB/96 KiB take 2 s."""
    transfer = f"{CURL} -o /dev/null -w '%{{http_code}}\\n' http://allowed.test/size/"
    transfer += "131072" if direction == "download" else "1 --data-binary @body"
    script = f"""head -c 131072 /dev/zero >body; began=$(date +%s%N)
{transfer} & {transfer} & wait
echo $((($(date +%s%N) - began) / 1000000))"""
    *codes, took = net.plain(script).out.splitlines()
    assert (codes, int(took) < 2000) == (["200", "200"], True)
    limit = f"{direction} 96KiB/s"
    rules = net.policy(f'network {{ allow connect "allowed.test" port 80 {kind} {limit} as slow }}')
    done = net.inside(script, policy=rules)
    *codes, took = done.out.splitlines()
    assert codes == ["200", "200"], done
    assert int(took) >= 1900, done
    assert done.report["denials"] == []
