"""The command line, `bridgectl`: thin, no rules of its own."""

from __future__ import annotations


def main() -> None:
    """Run `bridgectl` with the process's own arguments and exit with its code."""
    from bridge.cli.app import group

    group(prog_name="bridgectl")
