"""Hostile input on real parts: `python -m tests.torture_input N SEED [embedded | kafka]`."""

from __future__ import annotations

import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from tests.connectors.odata.mutated_answers import Mutating
from tests.http_proxy import standing
from tests.services import provide
from tests.torture.crash_target import ObservedBroker, ObservedFile, ObservedLog
from tests.torture_input.torture import torture


def main(inputs: int, seed: int, log_kind: str) -> int:
    """Reports each round; fails with what was lost or ended."""
    began = time.monotonic()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="torture-input-")))
        log: ObservedLog = ObservedFile(folder)
        if log_kind == "kafka":
            log = ObservedBroker(stack.enter_context(provide.private_kafka()))
        cap = stack.enter_context(provide.cap())
        service = Mutating(cap.address)
        stack.enter_context(standing(service))
        pieces = torture(
            folder / "bridge", log, cap, service, inputs=inputs, seed=seed, report=_say
        )
    _say(
        f"{pieces} pieces, each with its event, receipt or letter; {time.monotonic() - began:.0f} s"
    )
    return 0


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
