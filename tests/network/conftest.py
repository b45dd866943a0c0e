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
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
import trustme

if TYPE_CHECKING:
    from tests.conftest import Arena, Done

MACHINE = ("93.184.216.1/24", "2606:2800:220:1::1/64")
OUTSIDE = (
    "93.184.216.34/24",
    "93.184.216.35/24",
    "93.184.216.53/24",
    "2606:2800:220:1::34/64",
)
NAMES = ("allowed.test", "v4only.test", "denied.test", "other.test", "hidden.test", "localhost")


def ip(*words: str) -> None:
    """Runs ip(8)."""
    subprocess.run(["ip", *words], check=True)


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

    def forget(self) -> None:
        """Empties the log."""
        os.truncate(self.log, 0)

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
    log = base / "log"
    log.touch()
    machine, outside = f"rm{os.getpid()}", f"ro{os.getpid()}"
    settings = Path("/etc/netns") / machine
    settings.mkdir(parents=True)
    (settings / "resolv.conf").write_text("nameserver 93.184.216.53\noptions timeout:1 attempts:1\n")
    (settings / "hosts").write_text("127.0.0.1 localhost\n93.184.216.34 fromhosts.test\n")
    servers: subprocess.Popen[bytes] | None = None
    try:
        for name in (machine, outside):
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        ip(
            "-n",
            machine,
            "link",
            "add",
            "name",
            "wan0",
            "type",
            "veth",
            "peer",
            "name",
            "lan0",
            "netns",
            outside,
        )
        for name, device, addresses in ((machine, "wan0", MACHINE), (outside, "lan0", OUTSIDE)):
            for address in addresses:
                ip(
                    "-n",
                    name,
                    "address",
                    "add",
                    address,
                    "dev",
                    device,
                    *(["nodad"] if ":" in address else []),
                )
            ip("-n", name, "link", "set", device, "up")
        ip("-n", machine, "route", "add", "default", "via", "93.184.216.34")
        services = str(Path(__file__).with_name("services.py"))
        servers = subprocess.Popen(
            ["ip", "netns", "exec", outside, sys.executable, services, str(log), str(base / "server.pem")],
            stdout=subprocess.PIPE,
        )
        assert servers.stdout is not None
        assert servers.stdout.readline() == b"ready\n", "the servers did not start"
        yield World(machine, outside, log, base / "ca.pem")
    finally:
        if servers is not None:
            servers.send_signal(signal.SIGKILL)
            with servers:
                pass
        for name in (machine, outside):
            subprocess.run(["ip", "netns", "delete", name], check=False)
        shutil.rmtree(settings, ignore_errors=True)


@pytest.fixture
def net(arena: Arena, world: World) -> Arena:
    """The arena, on the machine of the world; its workspace has the authority's certificate."""
    world.forget()
    shutil.copy(world.authority, arena.workspace / "ca.pem")
    prefix = ("ip", "netns", "exec", world.machine, *arena.account.prefix)
    return replace(arena, account=replace(arena.account, prefix=prefix))
