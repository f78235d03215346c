"""What a connector offers, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a connector offers; shown by `bridgectl status`, tested by the suite.

    before: whether updates and deletes carry the whole old row (`per_table`: as each table is set up).
    every_change: whether every intermediate change is emitted, in commit order per key. Without it: for
    each key a part of its true states, in their order, that ends with the last one.
    transactions: whether changes carry their transaction and commit time.
    positions: `source` if changes carry their commit position (`SourceTransaction.commit`),
    `assigned` if that is 0 and capture assigns one.
    deletes: `streamed`: emitted by the source as they happen; `reconciled`: found by comparing keys
    when the source requests it (`Stale`), usually at an interval; `per_table`: depends on the
    table.
    snapshot: watermark snapshots are possible. truncate: TRUNCATE is reported.
    visibility: reads report which transactions they contain.
    markers: a change carries the id of the command that caused it. read, write: it has a Reader, a
    Writer.
    ledger: the Writer is a LedgerWriter; without it a crash may leave a command's outcome open.
    """

    before: Literal["full", "none", "per_table"] = "none"
    every_change: bool = False
    transactions: bool = False
    positions: Literal["source", "assigned"] = "source"
    deletes: Literal["streamed", "reconciled", "per_table"] = "streamed"
    snapshot: bool = False
    truncate: bool = False
    visibility: bool = False
    markers: bool = False
    capture: bool = True
    read: bool = False
    write: bool = False
    ledger: bool = False
