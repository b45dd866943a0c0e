"""A program that is kept open and starts a sandbox for each line: what the benchmark calls `REPLICANTE_WARM`.

One JSON object in, `{"op": "run", "argv": [...], "ws": DIR}`, one out, `{"ns": n, "rc": code}`: the time from
the call of the library to the program's end. `python benchmarks/warm.py [POLICY]`; the default policy is
`moderate`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time

from replicante.sandbox import Sandbox


def main() -> int:
    """Answers lines until standard input ends."""
    policy = sys.argv[1] if len(sys.argv) > 1 else "moderate"
    sandboxes: dict[str, Sandbox] = {}
    for line in sys.stdin:
        request = json.loads(line)
        workspace = request["ws"]
        sandbox = sandboxes.setdefault(workspace, Sandbox(policy, workspace))
        start = time.perf_counter_ns()
        code = sandbox.spawn(request["argv"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL).wait()
        print(json.dumps({"ns": time.perf_counter_ns() - start, "rc": code}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
