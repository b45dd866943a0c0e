"""Ways out by sockets: listeners of the machine, in every family, must hear nothing."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.conftest import Arena, Done

NO_WAY = "the machine's loopback and abstract sockets, of which the sandbox has its own"
ABSENT = "listing and lookups outside of the view"


class Listener:
    """A listener of the machine that remembers whether anybody spoke to it."""

    def __init__(self, family: socket.AddressFamily, kind: socket.SocketKind, address: object) -> None:
        self.socket = socket.socket(family, kind)
        self.socket.bind(address)  # type: ignore[arg-type]
        if kind == socket.SOCK_STREAM:
            self.socket.listen(8)
        self.socket.setblocking(False)

    def heard(self, _: Done) -> bool:
        """Whether something has arrived since the last question; takes it."""
        arrived = False
        while True:
            try:
                if self.socket.type == socket.SOCK_STREAM:
                    self.socket.accept()[0].close()
                else:
                    self.socket.recv(1)
            except BlockingIOError:
                return arrived
            arrived = True


@pytest.fixture
def listen() -> Iterator[Callable[..., Listener]]:
    """Starts listeners and ends them."""
    listeners: list[Listener] = []

    def listen(family: socket.AddressFamily, kind: socket.SocketKind, address: object) -> Listener:
        listener = Listener(family, kind, address)
        listeners.append(listener)
        return listener

    yield listen
    for listener in listeners:
        listener.socket.close()


def script(family: str, kind: str, address: str) -> str:
    """Sends one byte to an address."""
    return (
        "python3 - <<'END'\n"
        "import socket\n"
        f"s = socket.socket(socket.{family}, socket.{kind})\n"
        "s.settimeout(5)\n"
        f"s.connect({address})\n"
        's.send(b"x")\n'
        "END"
    )


@pytest.mark.parametrize("kind", ["SOCK_STREAM", "SOCK_DGRAM"])
@pytest.mark.parametrize(("family", "host"), [("AF_INET", "127.0.0.1"), ("AF_INET6", "::1")])
def test_a_listener_on_the_machine_s_loopback(
    arena: Arena, listen: Callable[..., Listener], family: str, host: str, kind: str
) -> None:
    listener = listen(getattr(socket, family), getattr(socket, kind), (host, 0))
    port = listener.socket.getsockname()[1]
    text = script(family, kind, f"({host!r}, {port})")
    arena.attack(text, effect=listener.heard, unseen=NO_WAY)


def test_an_address_of_the_machine(arena: Arena, listen: Callable[..., Listener]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # No packet is sent: the kernel only chooses the address of this machine.
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no network, so there is nothing to reach")
        host = probe.getsockname()[0]
    listener = listen(socket.AF_INET, socket.SOCK_STREAM, (host, 0))
    port = listener.socket.getsockname()[1]
    text = script("AF_INET", "SOCK_STREAM", f"({host!r}, {port})")
    arena.attack(text, effect=listener.heard, seen=f"connect {host}:{port}")


def test_data_in_a_name_that_is_looked_up(arena: Arena, listen: Callable[..., Listener]) -> None:
    """A question for a name server, as `dig @127.0.0.1` sends it."""
    listener = listen(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0))
    port = listener.socket.getsockname()[1]
    text = (
        "python3 - <<'END'\n"
        "import socket\n"
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        'q = bytes.fromhex("12340100000100000000000006736563726574076578616d706c650000010001")\n'
        f's.sendto(q, ("127.0.0.1", {port}))\n'
        "END"
    )
    arena.attack(text, effect=listener.heard, unseen=NO_WAY)


@pytest.mark.parametrize("kind", ["SOCK_STREAM", "SOCK_DGRAM"])
def test_an_abstract_socket(arena: Arena, listen: Callable[..., Listener], kind: str) -> None:
    name = f"replicante-{os.urandom(6).hex()}"
    listener = listen(socket.AF_UNIX, getattr(socket, kind), f"\0{name}")
    arena.attack(script("AF_UNIX", kind, f"chr(0) + {name!r}"), effect=listener.heard, unseen=NO_WAY)


def socket_at(arena: Arena, listen: Callable[..., Listener], path: Path, kind: str) -> Listener:
    listener = listen(socket.AF_UNIX, getattr(socket, kind), str(path))
    path.chmod(0o777)
    arena.own(path)
    return listener


@pytest.mark.parametrize("kind", ["SOCK_STREAM", "SOCK_DGRAM"])
def test_a_socket_of_the_machine_in_the_workspace(
    arena: Arena, listen: Callable[..., Listener], kind: str
) -> None:
    listener = socket_at(arena, listen, arena.workspace / "editor.sock", kind)
    arena.attack(
        script("AF_UNIX", kind, "'editor.sock'"), effect=listener.heard, seen="connect* *editor.sock"
    )


def test_a_socket_of_the_machine_by_a_link(arena: Arena, listen: Callable[..., Listener]) -> None:
    listener = socket_at(arena, listen, arena.workspace / "editor.sock", "SOCK_STREAM")
    (arena.workspace / "innocent").symlink_to("editor.sock")
    text = script("AF_UNIX", "SOCK_STREAM", "'innocent'")
    arena.attack(text, effect=listener.heard, seen="connect* *editor.sock")


def test_a_socket_of_the_machine_elsewhere(arena: Arena, listen: Callable[..., Listener]) -> None:
    """As an ssh agent, a message bus or a terminal multiplexer has one in `/tmp` or `/run`."""
    path = arena.outside / "bus"
    listener = socket_at(arena, listen, path, "SOCK_STREAM")
    arena.attack(script("AF_UNIX", "SOCK_STREAM", repr(str(path))), effect=listener.heard, unseen=ABSENT)


def test_an_inherited_connection(arena: Arena) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)

        def heard(_: Done) -> bool:
            try:
                return ours.recv(1) == b"x"
            except BlockingIOError:
                return False

        number = theirs.fileno()
        text = f"python3 -c 'import os; os.write({number}, b\"x\")'"
        arena.attack(text, effect=heard, fds=(number,), unseen="descriptors and variables of the caller")
