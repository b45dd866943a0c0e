"""Checks the content of a wheel: `python tools/check_wheel.py WHEEL`.

The extension is audited by maturin; the shim that travels beside it is checked here: a static program without
loader, executable, small, of the wheel's own version. The policies must be those of the checkout, byte for
byte.
"""

from __future__ import annotations

import re
import stat
import struct
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

SHIM = "replicante/_bin/replicante-shim"
SHIM_LIMIT_BYTES = 5 << 20
REQUIRED = (
    "replicante/_core.abi3.so",
    "replicante/_core.pyi",
    "replicante/py.typed",
    "replicante/policy/grammar.lark",
    SHIM,
)
POLICIES = Path(__file__).parent.parent / "policies"


def problems(wheel: Path) -> list[str]:
    """Everything that is wrong with a wheel, in words."""
    found: list[str] = []
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        found += [f"missing: {name}" for name in REQUIRED if name not in names]
        found += [
            f"does not belong into a wheel: {name}"
            for name in names
            if "__pycache__" in name or name.startswith("tests/")
        ]
        for policy in sorted(POLICIES.iterdir()):
            name = f"replicante/policies/{policy.name}"
            if name not in names:
                found.append(f"missing: {name}")
            elif archive.read(name) != policy.read_bytes():
                found.append(f"differs from the checkout: {name}")
        if SHIM in names:
            found += shim_problems(archive, wheel.name.split("-")[1])
    if not re.search(r"-cp311-abi3-", wheel.name):
        found.append(f"not an abi3 wheel for Python 3.11 and later: {wheel.name}")
    return found


def shim_problems(archive: zipfile.ZipFile, version: str) -> list[str]:
    """What is wrong with the shim: mode, size, loader, version."""
    found: list[str] = []
    mode = archive.getinfo(SHIM).external_attr >> 16
    if stat.S_IMODE(mode) != 0o755:
        found.append(f"the shim has mode {stat.S_IMODE(mode):04o}, not 0755")
    program = archive.read(SHIM)
    if len(program) > SHIM_LIMIT_BYTES:
        found.append(f"the shim has {len(program)} bytes, more than {SHIM_LIMIT_BYTES}")
    offset, size, count = struct.unpack_from("<Q", program, 32)[0], *struct.unpack_from("<HH", program, 54)
    kinds = {struct.unpack_from("<I", program, offset + index * size)[0] for index in range(count)}
    if 3 in kinds:  # PT_INTERP
        found.append("the shim needs a dynamic loader")
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "replicante-shim"
        path.write_bytes(program)
        path.chmod(0o755)
        done = subprocess.run([path, "--version"], capture_output=True, text=True, env={}, check=False)
        if version not in done.stdout.split():
            found.append(f"the shim answers {done.stdout.strip()!r} to --version, the wheel is {version}")
    return found


def main() -> int:
    """Prints the problems of the wheel named on the command line."""
    found = problems(Path(sys.argv[1]))
    for problem in found:
        print(problem)
    print(f"{sys.argv[1]}: {'ok' if not found else f'{len(found)} problems'}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
