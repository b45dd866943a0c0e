"""A guest: another kernel in QEMU, with a disk that holds the shim, launch descriptions and the cases to run.

The first program (`guest/init`) lies in an archive in memory, loads what the kernel needs for its disk and
goes on there: root's runs map owners, and Linux 6.1 can't do that on a file system in memory.
"""

from __future__ import annotations

import contextlib
import json
import lzma
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from replicante._core import pack_policy
from replicante.events.journal import Journal
from replicante.sandbox.bindings import default_bindings
from replicante.sandbox.launch import Options, prepare
from replicante.sandbox.load_reference import load_reference
from replicante.sandbox.shim import shim_path
from replicante.sandbox.state import PARTS, new_run_id

HERE = Path(__file__).parent
BOOT_LIMIT_S = 300
"""An emulated guest takes under a minute; more means that it hangs."""

BUSYBOX = Path("/bin/busybox")
DISK_MIB = 256
MODULES = (
    *("virtio_pci", "virtio_blk", "fuse", "ipv6"),
    # The network of a sandbox.
    *("nf_tables", "nft_tproxy", "nft_reject_inet", "nft_log", "nft_limit", "nfnetlink_log"),
)


@dataclass(frozen=True)
class Kernel:
    """An unpacked kernel package.

    Attributes:
        name: its release, as `uname -r` says it.
        image: the kernel.
        modules: directory of its modules.
    """

    name: str
    image: Path
    modules: Path


def newest(directory: Path, series: str) -> Kernel:
    """The newest kernel of a series whose package was unpacked below `directory`."""
    found = directory.glob(f"*/boot/vmlinuz-{series}.*")
    image = max(
        found, key=lambda path: [int(number) for number in re.findall(r"\d+", path.name)], default=None
    )
    assert image, f"no kernel {series} lies in {directory}: `nox -s kernels -- all` fetches it"
    name = image.name.removeprefix("vmlinuz-")
    return Kernel(name, image, image.parents[1] / "lib" / "modules" / name)


@dataclass(frozen=True)
class Case:
    """One launch in a guest.

    Attributes:
        name: of the case.
        argv: the agent's program and arguments.
        policy: body of the policy.
        base: what the policy extends; empty for nothing.
        user: whether an ordinary user starts it; else root.
        no_weaker: whether stand-ins are refused.
    """

    name: str
    argv: tuple[str, ...]
    policy: str = ""
    base: str = "moderate"
    user: bool = False
    no_weaker: bool = False


@dataclass(frozen=True)
class Ended:
    """What is left of a guest that was switched off.

    Attributes:
        console: all of its console.
        facts: for each case what was seen from outside, `KEY` to `VALUE`.
        disk: directory with a copy of `/results`, `/state-root` and `/state-user`.
        runs: for each case its run's identifier and whether an ordinary user started it.
    """

    console: str
    facts: Mapping[str, Mapping[str, str]]
    disk: Path
    runs: Mapping[str, tuple[str, bool]]

    def text(self, name: str) -> str:
        """A file of `/results`."""
        return (self.disk / "results" / name).read_text()

    def events(self, case: str) -> list[dict[str, Any]]:
        """The events of a case's run, read by the product's own reader."""
        run, user = self.runs[case]
        state = self.disk / ("state-user" if user else "state-root")
        journal = Journal(state / "runs" / run / "journal" / "00000000.rj")
        return [cast("dict[str, Any]", json.loads(event.text)) for event in journal.read()]

    def guarantees(self, case: str) -> dict[str, tuple[str, str]]:
        """The ledger of a case's run: name to state and by what."""
        ledger = self.events(case)[0]["guarantees"]
        return {entry["name"]: (entry["state"], entry["by"]) for entry in ledger}

    def hits(self, case: str) -> dict[str, int]:
        """The limits that a run reached, and how often."""
        counts: dict[str, int] = {}
        for event in self.events(case):
            if event["k"] == "limit.hit":
                counts[event["resource"]] = counts.get(event["resource"], 0) + event["count"]
        return counts

    def report(self, case: str) -> dict[str, Any]:
        """The report at the end of a run."""
        return cast("dict[str, Any]", json.loads(self.text(f"{case}.err").splitlines()[-1]))


def boot(kernel: Kernel, cases: Iterable[Case], work: Path) -> Ended:
    """Runs all cases of `guest/cases.sh` on a kernel.

    Args:
        kernel: which.
        cases: the launches that the script refers to.
        work: an empty directory.
    """
    runs = _root(work / "root", cases)
    disk, archive = work / "disk", work / "initrd"
    _run("mke2fs", "-q", "-t", "ext4", "-d", str(work / "root"), str(disk), f"{DISK_MIB}m")
    archive.write_bytes(_archive(kernel))
    command = [
        "qemu-system-x86_64",
        *("-accel", "tcg", "-smp", "2", "-m", "1024", "-display", "none", "-no-reboot", "-net", "none"),
        *("-monitor", "none", "-serial", f"file:{work / 'console'}"),
        *("-kernel", str(kernel.image), "-initrd", str(archive)),
        *("-append", "console=ttyS0 panic=-1 quiet"),
        *("-drive", f"file={disk},if=virtio,format=raw"),
    ]
    # After this time the console shows where it hangs.
    with contextlib.suppress(subprocess.TimeoutExpired):
        subprocess.run(command, capture_output=True, timeout=BOOT_LIMIT_S, check=True)
    console = (work / "console").read_text(errors="replace")
    copy = work / "copy"
    copy.mkdir()
    for directory in ("results", "state-root", "state-user"):
        _run("debugfs", "-R", f"rdump /{directory} {copy}", str(disk))
    return Ended(console, _facts(console), copy, runs)


def _facts(console: str) -> dict[str, dict[str, str]]:
    facts: dict[str, dict[str, str]] = {}
    for line in console.splitlines():
        if line.startswith(":: "):
            name, _, rest = line.removeprefix(":: ").partition(" ")
            facts[name] = dict(re.findall(r"(\w+)=((?:(?! \w+=).)*)", rest))
    return facts


def _root(root: Path, cases: Iterable[Case]) -> dict[str, tuple[str, bool]]:
    """Makes the tree of a guest's disk; gives the runs of the cases."""
    for name in (
        *("bin", "dev", "etc", "home/user", "launch", "outside", "proc", "results", "root", "sys", "tmp"),
        *("usr/share", "var/tmp", "work-root", "work-user"),
        *(f"{state}/{part}" for state in STATES for part in PARTS),
    ):
        (root / name).mkdir(parents=True)
    shutil.copy(BUSYBOX, root / "bin" / "busybox")
    shutil.copy(shim_path(), root / "bin" / "replicante-shim")
    _run(
        "gcc",
        "-O1",
        "-Wall",
        "-Werror",
        "-static",
        "-o",
        str(root / "bin/agent"),
        str(HERE / "guest/agent.c"),
    )
    for name in ("cases.sh", "functions.sh"):
        shutil.copy(HERE / "guest" / name, root / name)
    (root / "outside/secret").write_text("outside-secret\n")
    (root / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\nuser:x:1000:\n")
    return {case.name: (_describe(root, case), case.user) for case in cases}


STATES = ("state-root", "state-user")


def _describe(root: Path, case: Case) -> str:
    """Writes the launch description of a case, made as a launch on this machine makes it; gives its run."""
    run = new_run_id()
    who = "user" if case.user else "root"
    home = "/home/user" if case.user else "/root"
    bindings = default_bindings(f"/work-{who}", run, {"home": home, "user": who})
    source = root.parent / f"{case.name}.policy"
    extends = f" extends {case.base}" if case.base else ""
    source.write_text(f"language 1\n\npolicy small{extends} {{\n{case.policy}\n}}\n")
    packed = pack_policy(load_reference(str(source), bindings).compiled_form)
    options = Options(no_weaker=case.no_weaker, report="json")
    launch = prepare(case.argv, packed, bindings, str(root / f"state-{who}"), options)
    # The guest has the same directories at its own root, and none of this machine's interpreter.
    description, end, rest = launch.description.partition(b"\0")
    described = json.loads(description.replace(str(root).encode(), b""))
    described["read_only"] = []
    whole = json.dumps(described).encode() + end + rest
    (root / "launch" / f"{case.name}.launch").write_bytes(whole)
    (root / "launch" / f"{case.name}.run").write_text(run)
    return run


def _archive(kernel: Kernel) -> bytes:
    """The first root of a guest: busybox, the first program, and the modules in the order of their needs."""
    order = _in_order(kernel)
    files = {
        "init": (HERE / "guest" / "init").read_bytes(),
        "bin/busybox": BUSYBOX.read_bytes(),
        "modules/order": "".join(f"{name}\n" for name in order).encode(),
        **{f"modules/{name}": data for name, data in order.items()},
    }
    directories = ("bin", "dev", "modules", "proc", "root")
    entries = [(name, 0o040755, b"") for name in directories]
    entries += [(name, 0o100755, data) for name, data in files.items()]
    entries.append(("TRAILER!!!", 0, b""))
    return b"".join(_entry(number, *entry) for number, entry in enumerate(entries))


def _entry(number: int, name: str, mode: int, data: bytes) -> bytes:
    """One file of an archive in the form `newc` (cpio(5))."""
    path = name.encode() + b"\0"
    fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(path), 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + path
    return head + b"\0" * (-len(head) % 4) + data + b"\0" * (-len(data) % 4)


def _in_order(kernel: Kernel) -> dict[str, bytes]:
    """The modules that a guest needs and that are not built in, each after those that it depends on."""
    paths = {path.name.split(".ko")[0].replace("-", "_"): path for path in kernel.modules.rglob("*.ko*")}
    order: dict[str, bytes] = {}

    def add(name: str) -> None:
        path = paths.get(name)
        if path is None or f"{name}.ko" in order:
            return
        data = path.read_bytes()
        if path.suffix == ".xz":
            data = lzma.decompress(data)
        needs = re.search(rb"\0depends=([^\0]*)\0", data)
        for needed in needs[1].decode().split(",") if needs else ():
            add(needed.replace("-", "_"))
        order[f"{name}.ko"] = data

    for name in MODULES:
        add(name)
    return order


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "LC_ALL": "C"})
