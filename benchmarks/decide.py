"""How long one decision takes from Python, for policies of 10, 1,000 and 10,000 rules.

`python benchmarks/decide.py`. The budget is 1 µs, and at most 1.3 times as much for the largest policy as for
the smallest.
"""

from __future__ import annotations

import json
import sys
import timeit

from replicante import Engine

SIZES = (10, 1_000, 10_000)
CALLS = 100_000
ROUNDS = 7
_RESOURCES = (
    *("memory", "swap", "disk", "tmp", "output", "cpu", "processes", "threads", "open-files"),
    *("cpu-time", "wall-time", "idle-time"),
)


def compiled_form(rules: int) -> bytes:
    """A policy that allows reading below that many directories."""
    indices = range(rules)
    place = {"policy": 0, "file": "p.policy", "line": 1, "column": 1, "because": None, "text": ""}
    form: dict[str, object] = {
        "format": 2,
        "name": "p",
        "trust_digest": "",
        "policies": [{"name": "p", "shipped": False, "ancestors": []}],
        "sources": [{"id": f"p/r{index}", **place} for index in indices],
        "buckets": [],
        "rules": [
            {"source": index, "effect": "allow", "action": "read", "pattern": f"/srv/p{index}/**"}
            for index in indices
        ],
        "blocks": {"filesystem": [], "network": [], "mcp": []},
        "resources": {**dict.fromkeys(_RESOURCES, 1), "io-read": None, "io-write": None},
        "stated": [],
        "home": "real",
        "workspace": "direct",
        "accept": [],
        "environment": {"keep": [], "set": {}, "secrets": []},
        "capabilities": [],
        "alerts": [],
        "tripwires": [],
        "pins": [],
        "tests": [],
        "variables": [],
        "host_sets": {},
        "public_suffix_date": "",
    }
    return json.dumps(form).encode()


def nanoseconds(rules: int) -> dict[str, float]:
    """The best of several rounds for a request that is allowed and one that is not."""
    engine = Engine(compiled_form(rules))
    allowed = f"/srv/p{rules // 2}/src/module/file.py"
    times: dict[str, float] = {}
    for name, path in (("allowed", allowed), ("denied", "/home/ada/.ssh/id_ed25519")):
        assert engine.decide("read", path).allowed is (name == "allowed")
        timer = timeit.Timer("decide('read', path)", globals={"decide": engine.decide, "path": path})
        times[name] = min(timer.repeat(ROUNDS, CALLS)) / CALLS * 1e9
    return times


def main() -> int:
    """Prints the times in nanoseconds as JSON; 1 when a budget is exceeded."""
    times = {size: nanoseconds(size) for size in SIZES}
    print(json.dumps(times, indent=2))
    within = all(value < 1_000 for of_size in times.values() for value in of_size.values())
    flat = all(times[SIZES[-1]][name] <= 1.3 * times[SIZES[0]][name] for name in times[SIZES[0]])
    return 0 if within and flat else 1


if __name__ == "__main__":
    sys.exit(main())
