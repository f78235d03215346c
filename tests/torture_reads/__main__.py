"""Many reads of rows that change: `python -m tests.torture_reads N SEED [journal | postgres] [MUTANT]`.

With a mutant a guard is removed, and stale answers are to be expected.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from tests.services import provide
from tests.torture_reads.mutants import MUTANTS
from tests.torture_reads.torture import torture_reads


def main(reads: int, seed: int, source: str, mutant: str) -> int:
    """Prints what was done; 1 with the first stale answer."""
    began = time.monotonic()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="torture-reads-")))
        for each in MUTANTS[mutant]() if mutant else ():
            stack.enter_context(each)
        url = ""
        if source == "postgres":
            url = stack.enter_context(provide.private_postgres()).new_database()
        result = asyncio.run(torture_reads(folder, reads, seed, postgres_url=url, report=_say))
    _say(f"seed {seed}, {source} {mutant}: {result}; {time.monotonic() - began:.0f} s")
    for reason in result.stale:
        _say(reason)
    return 1 if result.stale else 0


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    arguments = [*sys.argv[1:], *("20000", "1", "postgres", "")[len(sys.argv) - 1 :]]
    sys.exit(main(int(arguments[0]), int(arguments[1]), arguments[2], arguments[3]))
