"""The tests that wait, again and again beside programs that take all processors: `python -m tests.steady
N [arguments of pytest]`. Ends with 1 at the first run that fails.
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack

BURN = "while True: pass"


def main(runs: int, arguments: list[str]) -> int:
    command = [sys.executable, "-m", "pytest", "-q", "-m", "waits", *arguments]
    with ExitStack() as stack:
        for _ in range(os.cpu_count() or 1):
            burner = subprocess.Popen([sys.executable, "-c", BURN])
            stack.callback(burner.wait)
            stack.callback(burner.kill)
        for number in range(1, runs + 1):
            print(f"run {number} of {runs}", flush=True)  # noqa: T201 - what it is for
            if subprocess.run(command, check=False).returncode != 0:
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
