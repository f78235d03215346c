"""`python -m benchmarks [NAME ...]`: all of them, or those that are named."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

#: Modules that are a benchmark: each has `main()`.
NAMES = (
    "plan",
    "embedded",
    "follower",
    "view",
    "stream",
    "snapshot",
    "latency",
    "memory",
    "agents",
    "gateway",
    "cached",
    "erp_cascades",
    "nplusone",
    "remote",
)


def run(names: list[str]) -> int:
    """Run them in order; 2 for an unknown name."""
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        print(f"there is no benchmark {unknown[0]!r}; there are {', '.join(NAMES)}")
        return 2
    for name in names or NAMES:
        importlib.import_module(f"benchmarks.{name}").main()
    print(f"\nresults are in {Path('benchmarks') / 'results'}")
    return 0


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
