"""One guest for each kernel: booted once, and everything that became of its cases is asked by the tests.

The kernels are packages that `nox -s kernels` has fetched and unpacked in `build/kernels`; it names the
series.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import cast

import pytest
from tests.kernels.cases import CASES
from tests.kernels.guest import Ended, Kernel, boot, newest

UNPACKED = Path(__file__).parents[2] / "build" / "kernels"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Runs each test on every kernel that is asked for; one that is missing is a failure, not a skip."""
    if "guest" in metafunc.fixturenames:
        series = os.environ.get("REPLICANTE_KERNELS", "6.1").split()
        found = [newest(UNPACKED, one) for one in series]
        metafunc.parametrize("guest", found, ids=[kernel.name for kernel in found], indirect=True)


@pytest.fixture(scope="session")
def guest(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """A guest that ran all cases and was switched off."""
    kernel = cast("Kernel", request.param)
    ended = boot(kernel, CASES, tmp_path_factory.mktemp("guest"))
    assert "end" in ended.facts, f"the guest did not come to its end:\n{ended.console}"
    return ended
