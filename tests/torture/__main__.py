"""`python -m tests.torture N SEED [embedded | kafka] [journal | postgres]`: many kills, on real parts."""

from __future__ import annotations

import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from tests.services import provide
from tests.torture.kill import torture
from tests.torture.place import Broker, EmbeddedFile, Log, Place, PostgresPlace, SqlitePlace
from tests.torture.wreck import harms_of


def main(kills: int, seed: int, log_kind: str, source: str) -> int:
    """Prints each kill; fails with the first difference."""
    began = time.monotonic()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="torture-")))
        kafka = stack.enter_context(provide.private_kafka()) if log_kind == "kafka" else None
        log: Log = Broker(kafka) if kafka is not None else EmbeddedFile(folder)
        place: Place
        server = None
        if source == "postgres":
            server = stack.enter_context(provide.private_postgres())
            place = PostgresPlace(folder, log, "torture", server, server.new_database())
        else:
            place = SqlitePlace(folder, log, "torture")
        harms = harms_of(server, kafka)
        changes = torture(place, kills, seed, harms, pause=0.002, told=_say)
    _say(f"{changes} changes, each in the log once and in order; {time.monotonic() - began:.0f} s")
    return 0


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    given = [*sys.argv[1:], *("20", "1", "kafka", "postgres")[len(sys.argv) - 1 :]]
    sys.exit(main(int(given[0]), int(given[1]), given[2], given[3]))
