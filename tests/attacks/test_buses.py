"""Buses of the machine: a message to one starts programs outside, as `systemd-run --user` does."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Arena, Children

NO_WAY = "the machine's loopback and abstract sockets, of which the sandbox has its own"
ABSENT = "listing and lookups outside of the view"
PLACES = ["run", "home", "workspace", "abstract"]

BUS = """<busconfig>
  <listen>{address}</listen>
  <servicedir>{services}</servicedir>
  <limit name="service_start_timeout">1000</limit>
  <policy context="default"><allow send_destination="*"/><allow eavesdrop="true"/><allow own="*"/></policy>
</busconfig>
"""


@pytest.fixture(params=PLACES)
def bus(request: pytest.FixtureRequest, arena: Arena, children: Children) -> Iterator[tuple[str, str]]:
    """Where the bus is, and its address; it starts `touch proof` for whoever asks for org.example.Proof."""
    base = arena.outside
    if request.param == "run":
        if not os.access("/run", os.W_OK):
            pytest.skip("only root can put a bus where systems have theirs")
        base = arena.own(Path(tempfile.mkdtemp(dir="/run")))
    places = {
        "run": f"unix:path={base}/bus",
        "home": f"unix:path={arena.base}/home/bus",
        "workspace": f"unix:path={arena.workspace}/bus",
        "abstract": f"unix:abstract=replicante-{os.urandom(6).hex()}",
    }
    address = places[str(request.param)]
    services = arena.own_directory(arena.outside / "services")
    proof = arena.outside / "proof"
    arena.write(
        services / "proof.service", f"[D-BUS Service]\nName=org.example.Proof\nExec=/usr/bin/touch {proof}\n"
    )
    config = arena.write(arena.outside / "bus.conf", BUS.format(address=address, services=services))
    daemon = ["dbus-daemon", f"--config-file={config}", "--nofork", "--print-address=1"]
    child = children.start(arena.plain_command(daemon))
    assert child.stdout is not None
    assert child.stdout.readline().startswith(b"unix:"), "the bus did not start"
    yield str(request.param), address
    if base != arena.outside:
        shutil.rmtree(base)


def test_a_program_started_by_a_bus(arena: Arena, bus: tuple[str, str]) -> None:
    place, address = bus
    proof = arena.outside / "proof"
    # The program is no service, so after a second the bus answers with an error.
    script = (
        f"dbus-send --bus={address} --print-reply --dest=org.freedesktop.DBus / "
        "org.freedesktop.DBus.StartServiceByName string:org.example.Proof uint32:0"
    )

    def forget() -> None:
        proof.unlink(missing_ok=True)

    seen = f"* {arena.workspace}/bus" if place == "workspace" else None
    unseen = None if seen else NO_WAY if place == "abstract" else ABSENT
    arena.attack(script, effect=lambda done: proof.exists(), restore=forget, seen=seen, unseen=unseen)
