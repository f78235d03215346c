"""Many kills, on real parts: `python -m tests.torture N SEED [embedded | kafka] [journal | postgres]`.

With `steps` instead of N: one kill at each enumerated step.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from bridge.capture.contract import CRASH_POINTS
from tests.services import provide
from tests.torture.crash_target import (
    CrashTarget,
    ObservedBroker,
    ObservedFile,
    ObservedLog,
    PostgresTarget,
    SqliteTarget,
)
from tests.torture.kill import OFTEN, at_first, at_step, filled, torture
from tests.torture.wreck import harms_of


def main(kills: str, seed: int, log_kind: str, source: str) -> int:
    """Prints each kill; fails with the first difference."""
    began = time.monotonic()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="torture-")))
        kafka = stack.enter_context(provide.private_kafka()) if log_kind == "kafka" else None
        server = stack.enter_context(provide.private_postgres()) if source == "postgres" else None

        def new_target(name: str) -> CrashTarget:
            at = folder / name
            at.mkdir()
            log: ObservedLog = ObservedBroker(kafka) if kafka is not None else ObservedFile(at)
            if server is None:
                return SqliteTarget(at, log, name)
            return PostgresTarget(at, log, name, server, server.new_database())

        if kills == "steps":
            changes = _each_step(new_target, seed)
        else:
            harms = harms_of(server, kafka)
            changes = torture(
                new_target("torture"), int(kills), seed, harms, pause=0.002, report=_say
            )
    _say(f"{changes} changes, each in the log once and in order; {time.monotonic() - began:.0f} s")
    return 0


def _each_step(new_target: Callable[[str], CrashTarget], seed: int) -> int:
    changes = 0
    for number, step in enumerate(CRASH_POINTS):
        nth = 2 if step in OFTEN else 1
        target = new_target(f"step_{number}")
        if not at_first(step):
            filled(target)
        changes += at_step(target, step, nth, seed, pause=0.002)
        _say(f"killed at {step}, time {nth}")
    return changes


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    arguments = [*sys.argv[1:], *("20", "1", "kafka", "postgres")[len(sys.argv) - 1 :]]
    sys.exit(main(arguments[0], int(arguments[1]), arguments[2], arguments[3]))
