"""Programs that know nothing of proxies reach what a policy allows, and are refused all else, at once."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Arena, Done
    from tests.network.conftest import Tools, World

# What a shell types for each client; `$T` is the directory of `make`, `$H` the host, `$W` the workspace.
COMMANDS = {
    "curl": "curl -sS --max-time 10 https://$H/from/curl",
    "requests": "python3 $T/with_requests.py $H",
    "httpx": "python3 $T/with_httpx.py $H",
    "urllib": "python3 $T/with_urllib.py $H",
    "pip": "python3 -m pip install -q --disable-pip-version-check --no-cache-dir --retries 0 --no-deps"
    " --target $W/$H --index-url https://$H/simple hello && python3 $W/$H/hello.py",
    "npm": "mkdir -p $W/$H && npm install --silent --no-audit --no-fund --fetch-retries 0 --prefix $W/$H"
    " --registry https://$H/npm/$H hello && node $W/$H/node_modules/hello/index.js",
    "git": "git clone -q https://$H/hello.git $W/$H && cat $W/$H/README",
    "node": "node $T/fetch.mjs $H node",
    "bun": "$T/bun $T/fetch.mjs $H bun",
    "deno": "$T/deno run -q -A $T/fetch.mjs $H deno",
    "go": "$T/with_go $H",
    "java": "java -Djavax.net.ssl.trustStore=$T/trust.p12 -Djavax.net.ssl.trustStorePassword=changeit"
    " -cp $T Client $H",
    "rust": "$T/with_rust $H",
    "musl": "$T/with_musl $H",
}

MADE = {
    "go": "with_go",
    "java": "trust.p12",
    "rust": "with_rust",
    "musl": "with_musl",
    "bun": "bun",
    "deno": "deno",
}
"""Files without which there is no such client."""

PROMPT_S = 1.0
"""In how much time a refusal must be there. Measured: some milliseconds; the rest is for a busy machine."""


def ends(done: Done) -> list[tuple[str, int]]:
    """The hosts that were asked, each with the code of the client's end."""
    return [(host, int(code)) for host, code in re.findall(r"^end (\S+) (\d+)$", done.out, re.MULTILINE)]


@pytest.mark.parametrize("account", ["user"], indirect=True)
@pytest.mark.parametrize("client", COMMANDS)
def test_a_program_reaches_the_name_that_is_allowed_alone(
    net: Arena, world: World, tools: Tools, client: str
) -> None:
    if client in MADE and not (tools.path / MADE[client]).exists():
        pytest.skip(f"there is no {client} here")
    command = COMMANDS[client]
    script = (
        f"{tools.prelude}for H in allowed.test denied.test; do {command}; c=$?; echo; echo end $H $c; done"
    )

    plain = net.plain(script)
    assert ends(plain) == [("allowed.test", 0), ("denied.test", 0)], plain
    heard = {line["host"] for line in [*world.heard("https"), *world.heard("http")]}
    assert heard == {"allowed.test", "denied.test"}
    world.forget()
    for host in ("allowed.test", "denied.test"):
        shutil.rmtree(net.workspace / host, ignore_errors=True)

    inside = net.inside(script, policy=tools.policy)
    allowed, (host, code) = ends(inside)
    assert (allowed, host) == (("allowed.test", 0), "denied.test"), inside
    assert code != 0
    assert {line["host"] for line in [*world.heard("https"), *world.heard("http")]} == {"allowed.test"}
    assert not world.heard("dns", name="denied.test")
    assert "resolve denied.test" in inside.denials


def test_a_refusal_is_prompt(net: Arena) -> None:
    """By name, by port, by address of either family, and by datagram."""
    script = """python3 - <<'END'
import socket, time
def lookup(): socket.getaddrinfo("denied.test", 443)
def connect(family, *address): socket.socket(family).connect(address)
def send(): socket.socket(type=socket.SOCK_DGRAM).sendto(b"x", ("93.184.216.34", 9999))
for name, attempt in {
    "name": lookup,
    "port": lambda: connect(socket.AF_INET, "allowed.test", 81),
    "address": lambda: connect(socket.AF_INET, "93.184.216.35", 443),
    "address6": lambda: connect(socket.AF_INET6, "2606:2800:220:1::34", 443),
    "datagram": send,
}.items():
    start = time.monotonic()
    try:
        attempt()
    except OSError as error:
        print(name, type(error).__name__, time.monotonic() - start)
END"""
    rules = net.policy('network { allow connect "allowed.test" port 80 as web }')
    lines = [line.split() for line in net.inside(script, policy=rules).out.splitlines()]
    assert [(name, error) for name, error, _ in lines] == [
        ("name", "gaierror"),
        ("port", "ConnectionRefusedError"),
        ("address", "ConnectionRefusedError"),
        ("address6", "ConnectionRefusedError"),
        ("datagram", "PermissionError"),
    ]
    assert all(float(took) < PROMPT_S for _, _, took in lines), lines
