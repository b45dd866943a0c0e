"""Protocols beyond single requests pass to an allowed name as they are: unbuffered, both ways, to the end."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Arena
    from tests.network.conftest import Tools, World


def test_a_web_socket(net: Arena, world: World, tools: Tools) -> None:
    script = (
        f"{tools.prelude}python3 - <<'END'\n"
        "from websockets.sync.client import connect\n"
        "with connect('wss://allowed.test:8443/chat') as s:\n"
        "    for word in ('one', 'two'):\n"
        "        s.send(word)\n"
        "        print(s.recv())\n"
        "END"
    )
    done = net.inside(script, policy=tools.policy)
    assert done.out.splitlines() == ["you said one", "you said two"], done
    assert [line["message"] for line in world.heard("websocket")] == ["one", "two"]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_stream_of_events_comes_event_by_event(net: Arena, tools: Tools, scheme: str) -> None:
    """The server sends the second when it was told of the first."""
    key = f"{scheme}-{net.account.name}"
    script = (
        f"{tools.prelude}cat >stream.mjs <<'END'\n"
        f"const base = '{scheme}://allowed.test';\n"
        f"const reader = (await fetch(`${{base}}/events/{key}`)).body.getReader();\n"
        "const next = async () => new TextDecoder().decode((await reader.read()).value).trim();\n"
        "console.log(await next());\n"
        f"await fetch(`${{base}}/told/{key}`);\n"
        "console.log(await next());\n"
        "END\n"
        "timeout 20 node stream.mjs"
    )
    done = net.inside(script, policy=tools.policy)
    assert done.out.splitlines() == ["data: 0", "data: 1"], done


def test_a_remote_call_in_both_directions_at_once(net: Arena, tools: Tools) -> None:
    """gRPC by HTTP/2 over TLS: each message is answered before the next is sent, and trailers arrive."""
    script = (
        f"{tools.prelude}cat >call.mjs <<'END'\n"
        "import { connect } from 'node:http2';\n"
        "const session = connect('https://allowed.test:50051');\n"
        "const call = session.request({':method': 'POST', ':path': '/echo.Echo/Say',"
        " 'content-type': 'application/grpc', te: 'trailers'});\n"
        "let sent = 0;\n"
        "const say = () => call.write(Buffer.from([0, 0, 0, 0, 1, ++sent]));\n"
        "call.on('data', (message) => { console.log(session.alpnProtocol, message.toString('hex'));"
        " if (sent < 3) say(); else call.end(); });\n"
        "call.on('trailers', (trailers) => { console.log(trailers['grpc-status']); session.close(); });\n"
        "say();\n"
        "END\n"
        "timeout 20 node call.mjs"
    )
    done = net.inside(script, policy=tools.policy)
    assert done.out.splitlines() == ["h2 000000000101", "h2 000000000102", "h2 000000000103", "0"], done


def test_ssh_by_a_rule_for_its_port(net: Arena, world: World, tools: Tools) -> None:
    base = world.authority.parent
    key = net.own(Path(shutil.copy(base / "client-key", net.workspace / "key")))
    key.chmod(0o600)
    net.write(net.workspace / "known", f"allowed.test,denied.test {(base / 'host-key.pub').read_text()}")
    script = (
        "ssh -F none -i key -o IdentitiesOnly=yes -o UserKnownHostsFile=known -o BatchMode=yes"
        " agent@{host} build; echo {host}: $?"
    )
    both = "; ".join(script.format(host=host) for host in ("allowed.test", "denied.test"))
    plain = net.plain(both)
    assert plain.out.splitlines() == ["ran build", "allowed.test: 0", "ran build", "denied.test: 0"], plain
    world.forget()
    inside = net.inside(both, policy=tools.policy)
    assert inside.out.splitlines() == ["ran build", "allowed.test: 0", "denied.test: 255"], inside
    assert len(world.heard("ssh", command="build")) == 1
    assert "resolve denied.test" in inside.denials
