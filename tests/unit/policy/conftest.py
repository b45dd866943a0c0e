"""What tests of the policy language share: values for all variables, and one place of expected texts."""

from __future__ import annotations

from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.amber import AmberSnapshotExtension
from syrupy.location import PyTestLocation

SNAPSHOTS = Path(__file__).parents[2] / "snapshots"


class InSnapshots(AmberSnapshotExtension):
    """All expected texts of the project lie in one directory."""

    @classmethod
    def dirname(cls, *, test_location: PyTestLocation) -> str:
        return str(SNAPSHOTS)


@pytest.fixture
def snapshots(snapshot: SnapshotAssertion) -> SnapshotAssertion:
    return snapshot.use_extension(InSnapshots)


@pytest.fixture
def bindings() -> dict[str, str]:
    """A value for each variable (T6)."""
    return {
        "workspace": "/home/ada/shop",
        "home": "/home/ada",
        "tmp": "/tmp",
        "cache": "/agent/cache",
        "runtime": "/agent/run",
        "agent": "coder",
        "run": "r1",
        "user": "ada",
    }
