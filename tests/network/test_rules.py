"""Rules for addresses and their classes: what they say is what can be reached, however it is spelled."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Arena
    from tests.network.conftest import World

CURL = "curl -sS --max-time 10"


@pytest.mark.parametrize("account", ["user"], indirect=True)
@pytest.mark.parametrize(
    ("rule", "url"),
    [
        ('"93.184.216.34" port 80', "http://93.184.216.34/x"),
        ('"93.184.216.0/24" port 80', "http://93.184.216.34/x"),
        ('"93.184.216.34" port 80', "http://[::ffff:93.184.216.34]/x"),
        ('"2606:2800:220:1::34" port 80', "http://[2606:2800:220:1:0:0:0:34]/x"),
        ('"2606:2800:220:1::/64" port 80', "http://[2606:2800:220:1::34]/x"),
        ('"10.9.9.9" port 80', "http://10.9.9.9/x"),
        ('"private.test" port 80 to private', "http://private.test/x"),
        ("any port 80", "http://allowed.test/x"),
        ("any port 80", "http://93.184.216.34/x"),
    ],
)
def test_an_address_is_reached_by_its_rule(net: Arena, world: World, rule: str, url: str) -> None:
    done = net.inside(f"{CURL} {url}", policy=net.policy(f"network {{ allow connect {rule} }}"))
    assert (done.out.split(" at ")[0], done.denials) == ("GET /x", []), done
    assert world.heard("http", path="/x")


@pytest.mark.parametrize("account", ["user"], indirect=True)
@pytest.mark.parametrize(
    ("rule", "url", "refused"),
    [
        ('"93.184.216.35" port 80', "http://93.184.216.34/", "connect 93.184.216.34:80"),
        ('"93.184.216.34" port 81', "http://93.184.216.34/", "connect 93.184.216.34:80"),
        ('"93.184.216.34" port 80', "http://allowed.test/", "resolve allowed.test"),
        ('"10.9.9.9" port 80', "http://private.test/", "resolve private.test"),
        ("any port 80", "http://10.9.9.9/", "connect 10.9.9.9:80"),
        ("any port 80", "http://private.test/", "connect private.test:80"),
        ("any port 80", "http://169.254.169.254/", "connect 169.254.169.254:80"),
        ('any port 80 deny connect "allowed.test"', "http://allowed.test/", "connect allowed.test:80"),
        ('any port 80 deny connect "93.184.216.34"', "http://v4only.test/", "connect v4only.test:80"),
        ('"allowed.test" port 80', "http://198.18.200.200/", "connect 198.18.200.200:80"),
    ],
)
def test_an_address_without_a_rule_is_not(
    net: Arena, world: World, rule: str, url: str, refused: str
) -> None:
    if "198.18" not in url:
        net.plain(f"{CURL} {url}")
        assert world.heard("http", method="GET")
        world.forget()
    done = net.inside(f"{CURL} {url}", policy=net.policy(f"network {{ allow connect {rule} }}"))
    assert not world.heard("http")
    assert refused in done.denials, done


@pytest.mark.parametrize("account", ["user"], indirect=True)
def test_much_passes_whole_in_both_directions(net: Arena, world: World) -> None:
    size = 30_000_000
    script = (
        f"{CURL} http://allowed.test/size/{size} | tee up | md5sum; head -c 3000000 up >less;"
        f" {CURL} --data-binary @less http://allowed.test/up"
    )
    expected = net.plain(f"head -c {size} /dev/zero | tr '\\0' x | md5sum")
    done = net.inside(script, policy=net.policy('network { allow connect "allowed.test" port 80 }'))
    assert done.out.splitlines()[0] == expected.out.strip(), done
    assert world.heard("http", path="/up", length=3_000_000)


def test_what_the_agent_serves_itself_it_can_reach(net: Arena) -> None:
    """On all addresses of its own, at a port that the kernel chooses; without any rule."""
    script = """python3 - <<'END'
import socket, threading
for family, bound, reached in (
    (socket.AF_INET, "127.0.0.1", "127.0.0.1"), (socket.AF_INET, "0.0.0.0", "localhost"),
    (socket.AF_INET6, "::1", "::1"), (socket.AF_INET6, "::", "localhost"),
):
    s = socket.create_server((bound, 0), family=family)
    threading.Thread(target=lambda s=s: s.accept()[0].sendall(b"hello"), daemon=True).start()
    print(socket.create_connection((reached, s.getsockname()[1]), 5).recv(5).decode())
END"""
    done = net.inside(script)
    assert (done.out.split(), done.denials) == (["hello"] * 4, []), done
