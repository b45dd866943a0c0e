"""Requests that are read: methods and paths, in plain HTTP and inside of TLS that the shim ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Arena
    from tests.network.conftest import World

READ = """
  network {
    allow connect "allowed.test" port 80, 8080 protocol http method GET, HEAD path "/v1/**" as plain
    allow connect "allowed.test" port 443
      inspect tls method GET, POST path "/v1/**", "/events/*", "/told/*" as inside
    deny connect "allowed.test" port 443
      inspect tls path "/v1/secret" as secret because "it is not for agents"
    allow connect "v4only.test" port 443 inspect tls as any
  }
"""
CURL = "curl -sS --max-time 20"
EITHER = pytest.mark.parametrize(("scheme", "service"), [("http", "http"), ("https", "https")])


@EITHER
def test_a_request_that_a_rule_allows(net: Arena, world: World, scheme: str, service: str) -> None:
    done = net.inside(f"{CURL} '{scheme}://allowed.test/v1/a?x=y'", policy=net.policy(READ))
    assert (done.out, done.denials) == ("GET /v1/a?x=y at allowed.test", []), done
    assert world.heard(service, path="/v1/a?x=y")


@EITHER
@pytest.mark.parametrize("request_", ["/v2/a", "-X DELETE /v1/a", "/v1/%2e%2e/v2", "/v1//a", "/v1/a%2fb"])
def test_a_request_that_none_allows(
    net: Arena, world: World, scheme: str, service: str, request_: str
) -> None:
    *options, path = request_.split()
    script = f"{CURL} --path-as-is {' '.join(options)} {scheme}://allowed.test{path}"
    plain = net.plain(script)
    assert world.heard(service, path=path), plain
    world.forget()
    done = net.inside(script, policy=net.policy(READ))
    assert not world.heard(service)
    (denial,) = done.report["denials"]
    method = "DELETE" if options else "GET"
    port = 443 if scheme == "https" else 80
    assert denial["resource"] == f"{method} {scheme}://allowed.test:{port}{path}"
    assert done.out.startswith(f"replicante: refused: {denial['resource']}")
    assert f"rule {denial['rule']}" in done.out


def test_the_refusal_says_why_and_what_would_allow_it(net: Arena, world: World) -> None:
    done = net.inside(f"{CURL} https://allowed.test/v1/secret", policy=net.policy(READ))
    assert "rule small/secret (" in done.out
    assert "because it is not for agents" in done.out
    done = net.inside(f"{CURL} -X PUT https://allowed.test/v3/x", policy=net.policy(READ))
    (denial,) = done.report["denials"]
    line = denial["would_allow"]
    assert f"would allow it: {line}" in done.out
    world.forget()
    done = net.inside(
        f"{CURL} -X PUT https://allowed.test/v3/x", policy=net.policy(READ.replace("}\n", f"{line} }}\n", 1))
    )
    assert done.denials == [], (line, done)
    assert world.heard("https", method="PUT", path="/v3/x")


BARE = "python3 - <<'END'\nimport socket\n"


def bytes_to(port: int, text: str, answers: int = 1) -> str:
    """Sends bytes as they are and shows what comes back."""
    return (
        f"{BARE}s = socket.create_connection(('allowed.test', {port}), 10)\ns.sendall(b'{text}')\n"
        f"s.settimeout(1)\nout = b''\ntry:\n  while True:\n    piece = s.recv(4096)\n"
        "    if not piece: break\n    out += piece\nexcept OSError: pass\nprint(out.decode())\nEND"
    )


OTHER = "GET /stolen HTTP/1.1\\r\\nHost: other.test\\r\\n\\r\\n"
GOOD = "GET /v1/a HTTP/1.1\\r\\nHost: allowed.test\\r\\n"


@pytest.mark.parametrize(
    "text",
    [
        f"{GOOD}\\r\\n{OTHER}",
        f"{GOOD}\\r\\nGET /stolen HTTP/1.1\\r\\nHost: allowed.test\\r\\n\\r\\n",
        f"{GOOD}Content-Length: 5\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n0\\r\\n\\r\\n{OTHER}",
        f"{GOOD}Transfer-Encoding: chunked\\r\\n\\r\\n0\\r\\n\\r\\n{OTHER}",
        f"{GOOD}X: a\\r\\n b: c\\r\\n\\r\\n{OTHER}",
        f"{GOOD}Host: other.test\\r\\n\\r\\n",
        f"GET http://other.test/stolen HTTP/1.1\\r\\nHost: allowed.test\\r\\n\\r\\n{OTHER}",
        "CONNECT other.test:443 HTTP/1.1\\r\\nHost: allowed.test\\r\\n\\r\\n",
        f"{GOOD}Content-Length: +5\\r\\n\\r\\nhello{OTHER}",
        f"{GOOD}Content-Length: 5\\r\\nContent-Length: 6\\r\\n\\r\\nhello{OTHER}",
    ],
)
def test_nothing_is_smuggled_past_the_rules(net: Arena, world: World, text: str) -> None:
    script = bytes_to(80, text)
    plain = net.plain(script)
    assert world.heard("http"), plain
    world.forget()
    net.inside(script, policy=net.policy(READ))
    for line in world.heard("http"):
        assert (line["path"], line["host"], line["method"]) == ("/v1/a", "allowed.test", "GET"), line
        assert "stolen" not in line["body"]


@pytest.mark.parametrize(
    "head",
    [
        f"{GOOD}X: a\\r\\n b: c\\r\\n\\r\\n",
        f"{GOOD}Content-Length: +5\\r\\n\\r\\nhello",
    ],
)
def test_what_can_be_read_in_two_ways_is_refused_and_told(net: Arena, world: World, head: str) -> None:
    net.plain(bytes_to(80, head))
    assert world.heard("http")
    world.forget()
    done = net.inside(bytes_to(80, head), policy=net.policy(READ))
    assert done.out.startswith("HTTP/1.1 400 ")
    (denial,) = done.report["denials"]
    assert (denial["rule"], denial["resource"]) == ("S10", "http://allowed.test:80")
    assert not world.heard("http")


def test_a_server_that_is_another(net: Arena, world: World) -> None:
    """Its certificate has not the name that was asked for: nothing is sent, and both sides are told why."""
    script = f"{CURL} -w '%{{http_code}}' -k https://fromhosts.test/v1/a"
    net.plain(script)
    assert world.heard("https", path="/v1/a")
    world.forget()
    rule = 'network { allow connect "fromhosts.test" port 443 inspect tls as any }'
    done = net.inside(script, policy=net.policy(rule))
    assert "the server's certificate is not accepted" in done.out
    assert done.out.endswith("502"), done
    (denial,) = done.report["denials"]
    assert denial["rule"] == "N10"
    assert not world.heard("https")


def test_events_come_as_they_are_sent(net: Arena, world: World) -> None:
    """The server sends the second only after the first was told of, by another request."""
    key = f"inspected-{net.account.name}"
    script = (
        f'{CURL} -N https://allowed.test/events/{key} | while read -r line; do echo "$line"; '
        f'[ "$line" = "data: 0" ] && {CURL} https://allowed.test/told/{key}; done'
    )
    done = net.inside(script, policy=net.policy(READ))
    assert done.out.split("\n")[:4:2] == ["data: 0", "data: 1"], done


def test_the_authority_is_of_the_run_alone(net: Arena) -> None:
    script = (
        "openssl s_client -connect v4only.test:443 -servername v4only.test </dev/null 2>/dev/null"
        " | openssl x509 -noout -issuer; env | grep -c replicante-ca; ls -l /etc/replicante-ca.pem"
    )
    done = net.inside(script, policy=net.policy(READ))
    assert f"Replicante run {done.report['run']}" in done.out, done
    assert "-r--r--r--" in done.out


@pytest.mark.parametrize(
    "client",
    [
        "python3 -c \"import urllib.request as r; print(r.urlopen('URL').read().decode())\"",
        "node -e \"fetch('URL').then(r => r.text()).then(console.log)\"",
        f"{CURL} URL",
        "wget -q -O - URL",
    ],
)
@pytest.mark.parametrize("host", ["allowed.test", "v4only.test"])
def test_clients_trust_it(net: Arena, world: World, client: str, host: str) -> None:
    url = f"https://{host}/v1/x"
    done = net.inside(client.replace("URL", url), policy=net.policy(READ))
    assert done.out.strip() == f"GET /v1/x at {host}", done
    done = net.inside(client.replace("URL", url.replace("v1", "v2")), policy=net.policy(READ))
    assert bool(world.heard("https", path="/v2/x")) == (host == "v4only.test")


PROXY = "-x http://198.18.0.1:3128"


@pytest.mark.parametrize("tunnel", ["", "-p"])
def test_the_explicit_proxy_has_the_same_verdicts(net: Arena, world: World, tunnel: str) -> None:
    policy = net.policy(READ)
    done = net.inside(f"{CURL} {PROXY} {tunnel} http://allowed.test/v1/a", policy=policy)
    assert done.out == "GET /v1/a at allowed.test", done
    world.forget()
    for url in ("http://allowed.test/v2/a", "http://denied.test/v1/a", "http://93.184.216.34/v1/a"):
        done = net.inside(f"{CURL} {PROXY} {tunnel} {url}", policy=policy)
        assert not world.heard("http")
        assert done.denials, done
    done = net.inside(f"{CURL} {PROXY} https://v4only.test/v1/a", policy=policy)
    assert done.out == "GET /v1/a at v4only.test", done
