"""Much, slowly, or until the guarding process dies: what holds up is the agent's own connections."""

from __future__ import annotations

import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Arena, Children
    from tests.network.conftest import World

MOST_MEMORY_KIB = 64 * 1024
"""What the shim may hold at its worst: 4096 connections at once, 16 KiB each."""
DEADLINE_S = 40


def peak_kib(pid: int) -> int:
    """The most memory that a process has had at once."""
    found = re.search(r"^VmHWM:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1])


FLOOD = """python3 - <<'END'
import socket
def quick(address, count):
    refused = 0
    for _ in range(count):
        s = socket.socket()
        try:
            s.connect(address)
        except OSError:
            refused += 1
        s.close()
    return refused
allowed = (socket.gethostbyname("allowed.test"), 9)
print("refused", quick(("93.184.216.35", 9), 10000), quick(allowed, 10000), flush=True)
END
curl -sS --max-time 30 http://allowed.test/after && echo && read end
"""


@pytest.mark.parametrize("account", ["user"], indirect=True)
def test_ten_thousand_quick_connections(net: Arena, children: Children) -> None:
    """To a refused address and to an allowed name; afterwards everything goes on."""
    rules = net.policy(
        """
        network {
          allow connect "allowed.test" port 9, 80 as web
          override limit rate 600000/min burst 20000 connections 20000
        }
        """
    )
    plain = net.plain(FLOOD)
    assert plain.out.splitlines() == ["refused 0 0", "GET /after at allowed.test"], plain
    child = children.start(net.inside_command(["sh", "-c", FLOOD], rules), net.env)
    assert child.stdout is not None
    assert child.stdin is not None
    assert child.stdout.readline() == b"refused 10000 0\n"
    assert child.stdout.readline() == b"GET /after at allowed.test\n"
    assert peak_kib(child.pid) < MOST_MEMORY_KIB
    child.stdin.write(b"end\n")
    child.stdin.close()
    assert child.wait(DEADLINE_S) == 0


HOLD = """cat >hold.py <<'END'
import resource, socket, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
held = [socket.create_connection(("allowed.test", 25), 30) for _ in range(2000)]
print("held", flush=True)
sys.stdin.read()
END
mkfifo go
for i in 1 2 3; do python3 hold.py <go & done
exec 3>go
read end
exec 3>&-
wait
curl -sS --max-time 30 http://allowed.test/after
"""


@pytest.mark.parametrize("account", ["user"], indirect=True)
def test_more_open_connections_than_the_shim_has_places_for(net: Arena, children: Children) -> None:
    """Six thousand are held; the kernel queues some of them. When they end, the next ones are served."""
    rules = net.policy(
        """
        network {
          allow connect "allowed.test" port 25, 80 as web
          override limit rate 600000/min burst 20000 connections 20000
        }
        """
    )
    child = children.start(net.inside_command(["sh", "-c", HOLD], rules), net.env)
    assert child.stdout is not None
    assert child.stdin is not None
    for _ in range(3):
        assert child.stdout.readline() == b"held\n"
    assert peak_kib(child.pid) < MOST_MEMORY_KIB
    child.stdin.write(b"end\n")
    child.stdin.close()
    assert child.stdout.readline() == b"GET /after at allowed.test"
    assert child.wait(DEADLINE_S) == 0


SLOW = """python3 - <<'END'
import socket, time
head = b"GET /HOW HTTP/1.1\\r\\nX-Slow: " + b"x" * 100
streams = [socket.create_connection(("allowed.test", 80), 5) for _ in range(50)]
ended = set()
start = time.monotonic()
for byte in head:
    for stream in streams:
        try:
            stream.send(bytes([byte]))
        except OSError:
            ended.add(stream)
    if len(ended) == len(streams) or time.monotonic() - start > 13:
        break
    time.sleep(0.2)
print("ended", len(ended))
END
curl -sS --max-time 10 http://allowed.test/after
"""


@pytest.mark.parametrize("account", ["user"], indirect=True)
def test_heads_that_never_end(net: Arena, world: World, children: Children) -> None:
    """Byte by byte, on many connections at once; plainly it is the server that has to end them."""
    plain = children.start(net.plain_command(["sh", "-c", SLOW.replace("HOW", "plain")]), net.env)
    rules = net.policy('network { allow connect "allowed.test" port 80 as web }')
    done = net.inside(SLOW.replace("HOW", "inside"), policy=rules)
    assert plain.stdout is not None
    assert plain.stdout.readline() == b"ended 0\n"
    assert done.out.splitlines() == ["ended 50", "GET /after at allowed.test"]
    assert "connect allowed.test:80" in done.denials
    assert not world.heard("http", path="/inside")


SPEAK = """python3 - <<'END'
import socket, time
s = socket.create_connection(("allowed.test", 25), 5)
while True:
    s.send(b"still here\\r\\n")
    time.sleep(0.01)
END
"""


def test_the_network_ends_with_the_shim(net: Arena, world: World, children: Children) -> None:
    rules = net.policy('network { allow connect "allowed.test" port 25 as mail }')
    child = children.start(net.inside_command(["sh", "-c", SPEAK], rules), net.env)
    world.wait("smtp", line="still here")
    child.send_signal(signal.SIGKILL)
    child.wait(DEADLINE_S)
    # The server hears the end of the connection, and after it nothing: not while another comes and goes.
    world.wait("smtp", line=None)
    world.forget()
    net.plain("curl -sS http://allowed.test/later")
    assert world.heard("http", path="/later")
    assert not world.heard("smtp")
