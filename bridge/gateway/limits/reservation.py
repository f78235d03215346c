"""Who may open how many of a system's connections: capture and commands first, reads the rest. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from bridge.connector import ConnectionUse
from bridge.model.specs import SystemLimits

UNKNOWN_USES = (
    ConnectionUse("capture", 2, "changes, snapshot"),
    ConnectionUse("commands", 1, "commands"),
    ConnectionUse("catalogue", 1, "catalogue"),
)
"""Of a connector that doesn't count its own."""
_OF_ONE_PROCESS = frozenset({"capture", "reads"})


class Reservation(NamedTuple):
    """reads: connections for the reads of each process that runs; 0: none is left.
    surfaces: for those of all `bridgectl get`, `check` and the like together.
    most: everything together; never above `total_connections` where that is set.
    shares: each part with its number and its purpose, for people.
    problem: why reads get none, with what to do; empty: they get some.
    """

    reads: int
    surfaces: int
    most: int
    shares: tuple[str, ...]
    problem: str = ""


OWNERSHIP = ConnectionUse("reads", 1, "ends sessions of the owner before")


def reserve(
    limits: SystemLimits, uses: Sequence[ConnectionUse], *, one_reader: bool = False
) -> Reservation:
    """The parts of the connections.

    uses: of the parts that the system has. Capture is one of all processes; each process may
    execute commands and asks the catalogue; `surface_connections` are for processes that don't run
    the bridge. Reads get the rest in equal parts, at most `connections`.
    one_reader: one process reads for all of them, and gets the rest as a whole.
    """
    if one_reader:
        uses = (*uses, OWNERSHIP)
    once = [use for use in uses if use.part in _OF_ONE_PROCESS]
    each = [use for use in uses if use.part not in _OF_ONE_PROCESS]
    processes, readers = limits.processes, 1 if one_reader else limits.processes
    reserved = _sum(once) + processes * _sum(each) + limits.surface_connections
    reads = limits.connections
    problem = ""
    if limits.total_connections:
        left = limits.total_connections - reserved
        reads = max(0, min(reads, left // readers))
        if not reads:
            problem = (
                f"no connection is left for reads: total_connections is "
                f"{limits.total_connections}, and {reserved} are reserved ({', '.join(_phrases(uses, limits))});"
                f" {reserved + readers} or more are needed"
            )
    shares = (*_phrases(uses, limits), f"{_times(reads, readers)} reads")
    return Reservation(
        reads, limits.surface_connections, reserved + readers * reads, shares, problem
    )


def _sum(uses: Sequence[ConnectionUse]) -> int:
    return sum(use.connections for use in uses)


def _phrases(uses: Sequence[ConnectionUse], limits: SystemLimits) -> list[str]:
    phrases = [
        f"{_times(use.connections, 1 if use.part in _OF_ONE_PROCESS else limits.processes)} {use.part}"
        f" ({use.purpose})"
        for use in uses
    ]
    return [*phrases, f"{limits.surface_connections} surfaces (bridgectl get, check and others)"]


def _times(connections: int, processes: int) -> str:
    return f"{connections}" if processes == 1 else f"{processes} x {connections}"
