"""A world of two network namespaces: the machine that we run on, and everything outside, with its servers.

The machine's only neighbour is at public addresses, so that the classes of addresses are real; the upstream
resolver is there too and notes each query, so that "nothing is asked upstream" is judged from outside.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
import trustme

if TYPE_CHECKING:
    from tests.conftest import Arena, Done

NAMES = ("allowed.test", "v4only.test", "denied.test", "other.test", "hidden.test", "localhost")
READY_S = 20
TRUST = (
    "SSL_CERT_FILE",
    "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "GIT_SSL_CAINFO",
    "PIP_CERT",
    "npm_config_cafile",
    "DENO_CERT",
)


def lines(machine: str, outside: str) -> str:
    """What ip(8) makes the two namespaces of."""
    return f"""
        netns add {machine}
        netns add {outside}
        -n {machine} link set lo up
        -n {outside} link set lo up
        -n {machine} link add name wan0 type veth peer name lan0 netns {outside}
        -n {machine} address add 93.184.216.1/24 dev wan0
        -n {machine} address add 2606:2800:220:1::1/64 dev wan0 nodad
        -n {outside} address add 93.184.216.34/24 dev lan0
        -n {outside} address add 93.184.216.35/24 dev lan0
        -n {outside} address add 93.184.216.53/24 dev lan0
        -n {outside} address add 10.9.9.9/32 dev lan0
        -n {outside} address add 169.254.169.254/32 dev lan0
        -n {outside} address add 2606:2800:220:1::34/64 dev lan0 nodad
        -n {machine} link set wan0 up
        -n {outside} link set lan0 up
        -n {machine} route add default via 93.184.216.34
    """


@dataclass(frozen=True)
class World:
    """Where tests of the network run."""

    machine: str
    """The namespace of the machine."""
    outside: str
    log: Path
    authority: Path
    """The certificate of the test authority, which has signed the servers' names."""

    def heard(self, service: str, **wanted: object) -> list[dict[str, Any]]:
        """What servers noted of a service, with these fields."""
        lines = [cast("dict[str, Any]", json.loads(line)) for line in self.log.read_text().splitlines()]
        found = [line for line in lines if line["service"] == service]
        return [line for line in found if all(line.get(key) == value for key, value in wanted.items())]

    def wait(self, service: str, **wanted: object) -> None:
        """Waits until servers have noted it."""
        end = time.monotonic() + READY_S
        while not self.heard(service, **wanted):
            assert time.monotonic() < end, f"nothing was heard of {service} {wanted}"
            time.sleep(0.01)

    def forget(self) -> None:
        """Empties the log."""
        os.truncate(self.log, 0)

    def echoes(self) -> int:
        """How many echo requests have come from the machine (RFC 2011)."""
        command = ["ip", "netns", "exec", self.outside, "cat", "/proc/net/snmp"]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        names, values = (line.split() for line in text.splitlines() if line.startswith("Icmp:"))
        return int(values[names.index("InEchos")])

    def anything(self, service: str, **wanted: object) -> Callable[[Done], bool]:
        """Whether servers heard it, for `attack`; forgets it."""

        def effect(_: Done) -> bool:
            heard = bool(self.heard(service, **wanted))
            self.forget()
            return heard

        return effect


@pytest.fixture(scope="session")
def world(ground: Path) -> Iterator[World]:
    """The two namespaces and their servers, made once."""
    if os.geteuid() != 0:
        pytest.skip("only root can make the namespaces")
    base = ground / "world"
    base.mkdir()
    authority = trustme.CA()
    authority.cert_pem.write_to_path(base / "ca.pem")
    authority.issue_cert(*NAMES).private_key_and_cert_chain_pem.write_to_path(base / "server.pem")
    for name in ("host-key", "client-key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(base / name)], check=True)
    here = Path(__file__).parent
    subprocess.run([sys.executable, str(here / "forge.py"), str(base / "forge")], check=True)
    log = base / "log"
    log.touch()
    machine, outside = f"rm{os.getpid()}", f"ro{os.getpid()}"
    settings = Path("/etc/netns") / machine
    settings.mkdir(parents=True)
    (settings / "resolv.conf").write_text("nameserver 93.184.216.53\noptions timeout:5 attempts:3\n")
    (settings / "hosts").write_text("127.0.0.1 localhost\n93.184.216.34 fromhosts.test\n")
    services = [sys.executable, str(here / "services.py")]
    servers = (
        (outside, [*services, "outside", str(log), str(base)]),
        (machine, [*services, "machine", str(log), str(base)]),
        (outside, ["node", str(here / "h2.mjs"), "50051", str(base / "server.pem")]),
    )
    started: list[subprocess.Popen[bytes]] = []
    try:
        for line in lines(machine, outside).split("\n"):
            if words := line.split():
                subprocess.run(["ip", *words], check=True)
        # As on most machines: everybody may send echo requests.
        pings = "echo 0 2147483647 > /proc/sys/net/ipv4/ping_group_range"
        subprocess.run(["ip", "netns", "exec", machine, "sh", "-c", pings], check=True)
        for namespace, command in servers:
            server = subprocess.Popen(["ip", "netns", "exec", namespace, *command], stdout=subprocess.PIPE)
            started.append(server)
            assert server.stdout is not None
            assert server.stdout.readline() == b"ready\n", f"{command} did not start"
        yield World(machine, outside, log, base / "ca.pem")
    finally:
        for server in started:
            server.send_signal(signal.SIGKILL)
            with server:
                pass
        for name in (machine, outside):
            subprocess.run(["ip", "netns", "delete", name], check=False)
        shutil.rmtree(settings, ignore_errors=True)


@pytest.fixture
def net(arena: Arena, world: World) -> Arena:
    """The arena, on the machine of the world, which trusts the authority; so can who reads the workspace."""
    world.forget()
    shutil.copy(world.authority, arena.workspace / "ca.pem")
    trusts = ("env", f"SSL_CERT_FILE={world.authority}")
    prefix = ("ip", "netns", "exec", world.machine, *arena.account.prefix, *trusts)
    return replace(arena, account=replace(arena.account, prefix=prefix))


@pytest.fixture(scope="session")
def clients(ground: Path, world: World) -> Path:
    """Where all clients are for which there are compilers, and those of npm where they are installed."""
    path = ground / "clients"
    installed = os.environ.get("REPLICANTE_CLIENT_PROGRAMS")
    script = str(Path(__file__).with_name("clients.py"))
    command = [sys.executable, script, str(path), str(world.authority), *([installed] if installed else [])]
    subprocess.run(command, check=True)
    return path


@dataclass(frozen=True)
class Tools:
    """Clients in a workspace, trusting the test authority."""

    path: Path
    policy: str
    """Allows one name."""

    @property
    def prelude(self) -> str:
        """What scripts with clients begin with: `$T` has the clients, `$W` is the workspace."""
        trust = "".join(f"export {name}=$W/ca.pem\n" for name in TRUST)
        return f"T={self.path} W={self.path.parent}\n{trust}export PYTHONPATH=$T/lib\n"


@pytest.fixture
def tools(net: Arena, clients: Path) -> Tools:
    """The clients, in the workspace."""
    path = net.workspace / "tools"
    shutil.copytree(clients, path, copy_function=os.link)
    rule = 'network { allow connect "allowed.test" port 22, 80, 443, 8443, 50051 as programs }'
    return Tools(path, net.policy(rule))
