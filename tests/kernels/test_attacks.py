"""A handful of attacks on kernels with less Landlock: what that lacks, mounts and namespaces hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.kernels.guest import Ended

NOTHING = "No such file or directory"
FORBIDDEN = "Operation not permitted"

# Name -> what it says plainly, and inside.
ATTACKS = {
    "read": ("read outside-secret", f"read {NOTHING}"),
    # Landlock governs truncation from Linux 6.2 on; the read-only mount does on all.
    "truncate": ("truncate done", "truncate Read-only file system"),
    "move": ("move done", "move Read-only file system"),
    "signal": ("signal done", "signal No such process"),
    "unshare": ("unshare done", f"unshare {FORBIDDEN}"),
    "mount": ("mount done", f"mount {FORBIDDEN}"),
    # Landlock has scopes from Linux 6.12 on; the abstract space belongs to the network namespace on all.
    "connect": ("connect done", "connect Connection refused"),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_succeeds_plainly_and_fails_inside(guest: Ended, name: str) -> None:
    plain, inside = ATTACKS[name]
    assert guest.text(f"{name}.plain").strip() == plain
    assert guest.text(f"{name}.out").strip() == inside
    assert guest.facts[name] == {"code": "1", "victim": "kept", "left": "0"}


def test_the_victim_outside_was_hit_only_plainly(guest: Ended) -> None:
    assert guest.facts["hits"]["count"] == "1"


def test_landlock_is_in_force_as_far_as_the_kernel_has_it(guest: Ended) -> None:
    version = int(guest.facts["boot"]["landlock"])
    assert version >= 2
    state, by = guest.guarantees("read")["landlock"]
    assert state == "held"
    # What came after version 6 governs records, not access.
    assert ("older" in by) == (version < 6)


def test_refused_calls_are_events(guest: Ended) -> None:
    for name, call in (("unshare", "unshare"), ("mount", "mount")):
        assert [denial["resource"] for denial in guest.report(name)["denials"]] == [call]
