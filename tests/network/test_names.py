"""Names that a policy allows are reached as without us; of all others nothing is even asked upstream."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Arena
    from tests.network.conftest import World

ALLOWED = """
  network {
    allow connect "allowed.test", "v4only.test", "fromhosts.test" port 80, 443 as web
    allow connect "allowed.test" port 25 as mail
    allow connect "alias.test", "loopback.test", "metadata.test", "private.test", "machine.test" port 80
    deny connect "hidden.test" as hidden
  }
  environment { set SSL_CERT_FILE "${workspace}/ca.pem" set CURL_CA_BUNDLE "${workspace}/ca.pem" }
"""
CURL = "curl -sS --max-time 10"


def kinds(net: Arena, run: str, kind: str) -> list[tuple[str, str]]:
    """Resource and rule of each event of a kind."""
    return [(event["resource"], event["r"]) for event in net.events(run) if event["k"] == kind]


@pytest.mark.parametrize(
    "url",
    [
        "http://allowed.test/x",
        "https://allowed.test/x",
        "http://fromhosts.test/x",
        "-4 http://v4only.test/x",
        "-6 https://allowed.test/x",
    ],
)
def test_an_allowed_name_is_reached(net: Arena, world: World, url: str) -> None:
    done = net.inside(f"{CURL} {url}", policy=net.policy(ALLOWED))
    host = url.split("/")[2]
    assert (done.out, done.denials) == (f"GET /x at {host}", []), done
    assert world.heard("https" if "https" in url else "http", path="/x", host=host)


def test_a_denied_name_is_refused_at_once_and_asked_of_nobody(net: Arena, world: World) -> None:
    done = net.inside(f"{CURL} http://secret-data.denied.test/; echo $?", policy=net.policy(ALLOWED))
    assert "Could not resolve host" in done.err
    assert done.out.split() == ["6"]
    assert not world.heard("dns")
    (denial,) = done.report["denials"]
    assert denial["resource"] == "secret-data.denied.test"
    assert denial["would_allow"] == 'allow connect "secret-data.denied.test" port 443'


def test_what_would_allow_it_does(net: Arena, world: World) -> None:
    done = net.inside(f"{CURL} http://allowed.test:8080/", policy=net.policy(ALLOWED))
    (denial,) = done.report["denials"]
    assert denial["resource"] == "allowed.test:8080"
    line = denial["would_allow"]
    done = net.inside(f"{CURL} http://allowed.test:8080/", policy=net.policy("network { " + line + " }"))
    assert done.denials == []
    assert world.heard("http", host="allowed.test:8080")


def test_a_server_that_speaks_first(net: Arena, world: World) -> None:
    script = (
        "python3 -c \"import socket; s = socket.create_connection(('allowed.test', 25), 10);"
        " f = s.makefile('rw'); print(f.readline().strip());"
        " print('EHLO me', file=f, flush=True); print(f.readline().strip())\""
    )
    done = net.inside(script, policy=net.policy(ALLOWED))
    assert done.out.splitlines() == ["220 mail.test ready", "250 EHLO me"], done


def test_the_other_family_is_empty_and_not_absent(net: Arena) -> None:
    """A C library that gets NXDOMAIN for one family gives up (musl)."""
    script = (
        "python3 -c \"import socket; print(socket.getaddrinfo('v4only.test', 80, socket.AF_INET)[0][4][0])\""
    )
    done = net.inside(script, policy=net.policy(ALLOWED))
    assert done.out.startswith("198.18."), done


@pytest.mark.parametrize(
    ("name", "rule", "service"),
    [
        ("loopback", "N7", "machine"),
        ("private", "N7", "http"),
        ("machine", "N7", "machine"),
        ("metadata", "baseline/", "http"),
    ],
)
def test_a_name_grants_no_special_address(
    net: Arena, world: World, name: str, rule: str, service: str
) -> None:
    net.plain(f"{CURL} http://{name}.test/")
    assert world.heard(service, host=f"{name}.test")
    world.forget()
    done = net.inside(f"{CURL} http://{name}.test/", policy=net.policy(ALLOWED))
    assert world.heard("dns", name=f"{name}.test")
    assert not world.heard(service)
    # A client may try both families.
    ((resource, decided),) = set(kinds(net, done.report["run"], "net.connect"))
    assert resource == f"{name}.test:80"
    assert decided.startswith(rule), decided


def test_an_alias_of_a_denied_name(net: Arena, world: World) -> None:
    done = net.inside(f"{CURL} http://alias.test/", policy=net.policy(ALLOWED))
    assert not world.heard("http")
    assert set(kinds(net, done.report["run"], "net.connect")) == {("alias.test:80", "small/hidden")}


def test_a_redirect_to_a_denied_name(net: Arena, world: World) -> None:
    done = net.inside(f"{CURL} -L http://allowed.test/redirect", policy=net.policy(ALLOWED))
    assert not world.heard("http", host="denied.test")
    assert "resolve denied.test" in done.denials


def test_localhost_of_the_machine_by_a_rule(net: Arena, world: World, children: object) -> None:
    from tests.conftest import Children

    assert isinstance(children, Children)
    server = [
        "ip",
        "netns",
        "exec",
        world.machine,
        "python3",
        "-u",
        "-m",
        "http.server",
        "8077",
        "--bind",
        "127.0.0.1",
    ]
    child = children.start(server)
    assert child.stdout is not None
    assert child.stdout.readline().startswith(b"Serving")
    policy = net.policy('network { allow connect "localhost" port 8077 to loopback }')
    for host in ("localhost", "127.0.0.1", "[::1]"):
        done = net.inside(f"{CURL} -o /dev/null -w '%{{http_code}}' http://{host}:8077/", policy=policy)
        assert done.out == "200", (host, done)
    done = net.inside(f"{CURL} http://127.0.0.1:8078/; echo $?", policy=policy)
    assert done.out.split() == ["7"]
