"""Builds the fuzz targets and runs each for some seconds: `fuzz.py [SECONDS [TARGET …]]` (`nox -s fuzz`).

libFuzzer needs coverage instrumentation, which is a pass of LLVM that a stable compiler runs as well: neither
nightly nor cargo-fuzz is needed. AddressSanitizer would need nightly; what is tried here has no `unsafe` of
its own, so a panic, a failed assertion, a hang or too much memory is what is looked for.

What is tried starts from rust/fuzz/seeds and from what earlier runs found worth keeping (build/fuzz/corpus).
An input that fails is left in build/fuzz/found; the printed program with it as argument tries it again.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[1]
CRATE = ROOT / "rust" / "fuzz"
KEPT = ROOT / "build" / "fuzz"
SECONDS = 5
HANGS_AFTER_S = 10
MOST_MEMORY_MIB = 1024
FLAGS = (
    "--cfg fuzzing -Ccodegen-units=1 -Cpasses=sancov-module "
    + " ".join(
        f"-Cllvm-args=-sanitizer-coverage-{what}"
        for what in ("level=4", "inline-8bit-counters", "pc-table", "trace-compares")
    )
)  # fmt: skip


def main() -> int:
    """Gives 1 if a target failed."""
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else SECONDS
    targets = sys.argv[2:] or sorted(path.stem for path in (CRATE / "targets").glob("*.rs"))
    programs = build()
    # The machine's processors are shared out, so that a target's seconds are its own.
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        running = [pool.submit(run, programs / target, seconds) for target in targets]
    passed = [one.result() for one in running]
    return 0 if all(passed) else 1


def build() -> Path:
    """Builds all targets; gives the directory of their programs."""
    told = subprocess.run(["rustc", "-vV"], cwd=CRATE, capture_output=True, text=True, check=True).stdout
    triple = re.search(r"^host: (.+)$", told, re.MULTILINE)
    if triple is None:
        raise SystemExit("rustc does not say for which machine it is")
    directory = Path(os.environ.get("CARGO_TARGET_DIR", str(ROOT / "target"))) / "fuzz"
    # With a target named, build scripts and macros are spared the flags.
    subprocess.run(
        ["cargo", "build", "--locked", "-q", "--release", "--bins", "--target", triple[1]],
        cwd=CRATE,
        env={**os.environ, "RUSTFLAGS": FLAGS, "CARGO_TARGET_DIR": str(directory)},
        check=True,
    )
    return directory / triple[1] / "release"


def run(program: Path, seconds: int) -> bool:
    """Runs one target; prints one line, or all that it said where it failed."""
    corpus = KEPT / "corpus" / program.name
    found = KEPT / "found"
    for directory in (corpus, found):
        directory.mkdir(parents=True, exist_ok=True)
    seeds = CRATE / "seeds" / program.name
    done = subprocess.run(
        [
            str(program),
            str(corpus),
            *([str(seeds)] if seeds.is_dir() else []),
            f"-max_total_time={seconds}",
            f"-timeout={HANGS_AFTER_S}",
            f"-rss_limit_mb={MOST_MEMORY_MIB}",
            f"-artifact_prefix={found}/{program.name}-",
            "-print_final_stats=1",
        ],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    tried = re.search(r"stat::number_of_executed_units: +(\d+)", done.stderr)
    if done.returncode != 0 or tried is None:
        lines = [
            line for line in done.stderr.splitlines() if not re.match(r"#\d+\s+(NEW|REDUCE|pulse)", line)
        ]
        print(f"{program}: FAILED ({done.returncode})", *lines, sep="\n", flush=True)
        return False
    print(f"{program.name}: {int(tried[1]):,} inputs in {seconds} s, none failed", flush=True)
    return True


if __name__ == "__main__":
    sys.exit(main())
