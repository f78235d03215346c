"""`pg_current_snapshot()` as the answer to which transactions a read has seen, and on which server. Pure.

Source: https://www.postgresql.org/docs/15/functions-info.html (pg_snapshot). The stream has 32-bit
transaction ids and the snapshot 64-bit ones, so they are compared modulo 2**32: two transactions
that are more than 2**31 apart are never both of interest.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

_MODULUS = 1 << 32
_HALF = 1 << 31


@dataclass(frozen=True, slots=True)
class ServerHistory:
    """The history in which transaction ids mean something: those of two that differ can't be
    compared, nor can rows that were read in one be kept in the other.

    system_identifier: of the cluster, which a primary and its standbys share; of a login that may
    not ask for it, the start of the server in microseconds since 1970.
    timeline: the one that is written, or, in recovery, the latest that the control file says was
    reached: behind a promotion it stays the old one until the next restartpoint, or until replayed
    pages are written (0: may not be asked for).
    """

    system_identifier: str
    timeline: int

    def __str__(self) -> str:
        return f"{self.system_identifier}/{self.timeline}"


@dataclass(frozen=True, slots=True)
class PgSnapshot:
    """Transactions before `xmin` have ended, those from `xmax` on had not; between them, all but
    `running` have ended.

    in_recovery: whether a standby answered. Its snapshots don't list what is running.
    server: of which history it is; None where that wasn't asked.
    """

    xmin: int
    xmax: int
    running: frozenset[int]
    in_recovery: bool = False
    server: ServerHistory | None = None

    def contains(self, transaction: int) -> bool:
        """Whether a committed transaction's effects were visible; `transaction` 32 bits.

        In recovery only what is before `xmin` counts: a standby's `725:727:` was taken while 725
        was open. So a standby may deny what it shows, until its oldest transaction ends.
        """
        xid = _near(transaction, self.xmin)
        if xid < self.xmin:
            return True
        return not self.in_recovery and xid < self.xmax and xid not in self.running

    def unseen(self) -> Iterable[int]:
        """The 32-bit ids of those that were still running: a commit is streamed before reads show it.

        In recovery all from `xmin` to `xmax`. What had begun from `xmax` on isn't listed, and may have
        been streamed: a reader of the stream first ends a transaction of its own (a watermark), so that
        `xmax` is after all that was streamed before.
        """
        running = range(self.xmin, self.xmax) if self.in_recovery else self.running
        return [xid % _MODULUS for xid in running]


def parse_snapshot(text: str) -> PgSnapshot:
    """`xmin:xmax:xip,xip,...` as a primary writes it. Raises ValueError when it isn't one."""
    xmin, xmax, running = text.split(":")
    return PgSnapshot(int(xmin), int(xmax), _ids(running))


def parse_seen(text: str) -> PgSnapshot:
    """The value of `SEEN` or `SEEN_RESTRICTED`. Raises ValueError when it isn't one."""
    snapshot, system_identifier, timeline = text.split(" ")
    role, number = timeline[:1], timeline[1:]
    if role not in {"r", "p"} or not system_identifier.isdecimal():
        raise ValueError(f"not what a PostgreSQL server says of a statement: {text!r}")
    xmin, xmax, running = snapshot.split(":")
    server = ServerHistory(system_identifier, int(number, 10 if role == "r" else 16))
    return PgSnapshot(int(xmin), int(xmax), _ids(running), role == "r", server)


def dump_seen(snapshot: PgSnapshot) -> str:
    """The text of which `load_seen` makes an equal snapshot."""
    server = snapshot.server
    return " ".join(
        (
            f"{snapshot.xmin}:{snapshot.xmax}:{','.join(map(str, sorted(snapshot.running)))}",
            "r" if snapshot.in_recovery else "p",
            f"{server.timeline} {server.system_identifier}" if server is not None else "",
        )
    )


def load_seen(text: str) -> PgSnapshot:
    """The snapshot of `dump_seen`. Raises ValueError when it isn't one."""
    parts = text.split(" ", 3)
    if parts[1:2] not in (["r"], ["p"]) or len(parts) != (4 if parts[2:] != [""] else 3):
        raise ValueError(f"not a PostgreSQL snapshot: {text[:100]!r}")
    xmin, xmax, running = parts[0].split(":")
    server = ServerHistory(parts[3], int(parts[2])) if parts[2] else None
    return PgSnapshot(int(xmin), int(xmax), _ids(running), parts[1] == "r", server)


def _ids(text: str) -> frozenset[int]:
    return frozenset(int(xid) for xid in text.split(",") if xid)


def _near(transaction: int, reference: int) -> int:
    """The 64-bit id with these low 32 bits that is nearest to `reference`."""
    ahead = (transaction - reference) % _MODULUS
    return reference + (ahead if ahead < _HALF else ahead - _MODULUS)
