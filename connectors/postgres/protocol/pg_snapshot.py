"""`pg_current_snapshot()` as the answer to which transactions a read has seen. Pure.

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
class PgSnapshot:
    """Transactions before `xmin` have ended, those from `xmax` on have not begun to end; between
    them, all but `running` have ended.
    """

    xmin: int
    xmax: int
    running: frozenset[int]

    def contains(self, transaction: int) -> bool:
        """Whether a committed transaction's effects were visible; `transaction` 32 bits."""
        xid = _near(transaction, self.xmin)
        if xid < self.xmin:
            return True
        return xid < self.xmax and xid not in self.running

    def unseen(self) -> Iterable[int]:
        """The 32-bit ids of those that were still running: a commit is streamed before reads show it."""
        return [xid % _MODULUS for xid in self.running]


def parse_snapshot(text: str) -> PgSnapshot:
    """`xmin:xmax:xip,xip,...` as PostgreSQL writes it. Raises ValueError when it isn't one."""
    xmin, xmax, running = text.split(":")
    return PgSnapshot(
        int(xmin), int(xmax), frozenset(int(xid) for xid in running.split(",") if xid)
    )


def _near(transaction: int, reference: int) -> int:
    """The 64-bit id with these low 32 bits that is nearest to `reference`."""
    ahead = (transaction - reference) % _MODULUS
    return reference + (ahead if ahead < _HALF else ahead - _MODULUS)
