"""The command line, `bridgectl`: thin, no rules of its own."""

from __future__ import annotations

import sys

from bridge.cli.output.safe_text import guard_streams
from bridge.cli.startup_signals import end_at_signals


def main() -> None:
    """Run `bridgectl` with the process's own arguments and exit with its code.

    A signal that arrives while modules are still being loaded ends the process with exit code 0, as
    later ones do.
    """
    end_at_signals()
    try:
        guard_streams()
        from bridge.cli.app import group

        group(prog_name="bridgectl")
    except KeyboardInterrupt:
        sys.exit(0)
