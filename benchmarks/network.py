"""The network inside against the network plain, in one interleaved run: `benchmarks/network.py [ROUNDS]`.

One client program is run in turn plainly and under a policy that allows the server by name. Printed are
medians and their ratios: time of a connection to the first byte, of a request on a kept connection, bytes
per second each way, and the memory that a thousand idle connections cost the process that guards.
"""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

CLIENT = """
import json, socket, sys, time
port = int(sys.argv[1])
def connect():
    s = socket.create_connection(("localhost", port))
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s
times = []
for _ in range(300):
    start = time.perf_counter(); s = connect(); s.recv(1); times.append(time.perf_counter() - start)
    s.close()
result = {"connect_us": sorted(times)[150] * 1e6}
s = connect(); s.recv(1); times = []
for _ in range(3000):
    start = time.perf_counter(); s.sendall(b"\\1"); s.recv(1); times.append(time.perf_counter() - start)
result["request_us"] = sorted(times)[1500] * 1e6
s.close()
TOTAL = 1 << 30
buffer = bytearray(1 << 20)
s = connect(); s.recv(1); s.sendall(b"\\2"); start = time.perf_counter(); seen = 0
while seen < TOTAL:
    seen += s.recv_into(buffer)
result["down_MBps"] = TOTAL / (time.perf_counter() - start) / 1e6
s.close()
s = connect(); s.recv(1); s.sendall(b"\\3"); start = time.perf_counter()
for _ in range(TOTAL >> 20):
    s.sendall(buffer)
s.shutdown(socket.SHUT_WR); s.recv(1)
result["up_MBps"] = TOTAL / (time.perf_counter() - start) / 1e6
print(json.dumps(result), flush=True)
if len(sys.argv) > 2:
    kept = [connect() for _ in range(int(sys.argv[2]))]
    for s in kept: s.recv(1)
    print("open", flush=True); sys.stdin.readline()
"""
POLICY = """language 1

policy bench extends permissive {{
  accept weaker late-names
  network {{
    allow connect "localhost" port {port} to loopback
    override limit rate 600000/min burst 200000 connections 4000 upload 1TiB/min download 1TiB/min
  }}
}}
"""


def serve(listener: socket.socket) -> None:
    """Greets each connection with one byte, then does as it is told: 1 answers, 2 sends, 3 takes."""
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=talk, args=(connection,), daemon=True).start()


def talk(connection: socket.socket) -> None:
    """One connection."""
    buffer = bytearray(1 << 20)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        connection.sendall(b"+")
        while letter := connection.recv(1):
            if letter == b"\1":
                connection.sendall(b"+")
            elif letter == b"\2":
                while True:
                    connection.sendall(buffer)
            else:
                while connection.recv_into(buffer):
                    pass
                connection.sendall(b"+")
    except OSError:
        pass
    connection.close()


def measured(command: list[str]) -> dict[str, float]:
    """What one run of the client says."""
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[0])


def guard_memory(parent: int) -> int:
    """Private bytes of the process that guards, a descendant of `parent` or itself."""
    text = Path(f"/proc/{parent}/smaps_rollup").read_text()
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Private")) * 1024


def main() -> int:
    """Prints the table."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    port = listener.getsockname()[1]
    threading.Thread(target=serve, args=(listener,), daemon=True).start()
    with tempfile.TemporaryDirectory(prefix="replicante-bench-") as base:
        workspace = Path(base) / "workspace"
        workspace.mkdir()
        (workspace / "client.py").write_text(CLIENT)
        policy = Path(base) / "bench.policy"
        policy.write_text(POLICY.format(port=port))
        plain = ["/usr/bin/python3", str(workspace / "client.py"), str(port)]
        run = ["replicante", "run", "--policy", str(policy), "--workspace", str(workspace), "--"]
        found: dict[str, dict[str, list[float]]] = {"plain": {}, "inside": {}}
        for _ in range(rounds):
            for name, command in (("plain", plain), ("inside", [*run, *plain])):
                for key, value in measured(command).items():
                    found[name].setdefault(key, []).append(value)
        for key, values in found["plain"].items():
            direct, inside = statistics.median(values), statistics.median(found["inside"][key])
            print(f"{key:12} plain {direct:9.1f}   inside {inside:9.1f}   ratio {inside / direct:.2f}")
        idle(run, plain, 1000)
    return 0


def idle(run: list[str], plain: list[str], count: int) -> None:
    """Prints what open connections cost."""
    sizes: list[int] = []
    for connections in (1, count):
        command = [*run, *plain, str(connections)]
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert child.stdin is not None
        assert child.stdout is not None
        while child.stdout.readline() not in ("open\n", ""):
            pass
        sizes.append(guard_memory(child.pid))
        child.stdin.write("\n")
        child.stdin.close()
        child.wait()
    each = (sizes[1] - sizes[0]) / (count - 1)
    print(f"{count} idle connections: {each / 1024:.1f} KiB each, {sizes[0] / 1024:.0f} KiB before them")


if __name__ == "__main__":
    os.environ.setdefault("PYTHONDONTWRITEBYTECODE", "1")
    sys.exit(main())
