"""Time to check a policy of 1,000 rules, warm, beside the time that the parser alone takes for the same text.

`python -P benchmarks/check.py [RULES]` prints milliseconds (best of 15, both in turn) and their ratio.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from replicante import parse_policy
from replicante.policy.grammar import read

RULES = (
    'allow read, write "/srv/p{0}/**" as r{0}',
    'deny read "/srv/p{0}/secret-{0}" because "no" as r{0}',
    'allow read "/data/{0}/*.csv" as r{0}',
)


def policy_text(rules: int) -> str:
    """A policy of so many file rules of three kinds."""
    lines = "\n".join(f"    {RULES[index % 3].format(index)}" for index in range(rules))
    return f"language 1\npolicy large {{\n  filesystem {{\n{lines}\n  }}\n}}\n"


def milliseconds(work: Callable[[], object]) -> float:
    """The time of one call."""
    start = time.perf_counter_ns()
    work()
    return (time.perf_counter_ns() - start) / 1e6


def main() -> int:
    """Prints the figures."""
    rules = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    text = policy_text(rules)
    pairs = [
        (milliseconds(lambda: parse_policy(text)), milliseconds(lambda: read(text, "start")))
        for _ in range(15)
    ]
    check, parse = (min(column) for column in zip(*pairs, strict=True))
    print(f"{rules} rules: check {check:.0f} ms, parser alone {parse:.0f} ms, ratio {check / parse:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
