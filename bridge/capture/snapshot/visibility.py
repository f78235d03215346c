"""Which transactions were streamed but not yet shown by a read: log order is not visibility order.

Pure: what was streamed and what reads have seen are parameters.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from bridge.connector import Visibility

#: Above this many transactions of one table, a one-row read finds which of them can be forgotten.
PROBE_ABOVE_TRANSACTIONS: Final = 50_000
#: Above this many, the older half is forgotten, seen or not, to bound memory.
MAX_TRANSACTIONS: Final = 200_000


class StreamedTransactions:
    """Transactions that were streamed and not yet seen by a read of the table.

    Numbered in stream order, so that those before a low watermark are known from later ones.
    """

    def __init__(self) -> None:
        self._number = 0
        self._open: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._open)

    def __contains__(self, transaction: int) -> bool:
        return transaction in self._open

    @property
    def last_number(self) -> int:
        """The number of the last transaction."""
        return self._number

    def add(self, transactions: Iterable[int]) -> None:
        """These were streamed, in this order."""
        for transaction in transactions:
            self._number += 1
            self._open[transaction] = self._number

    def first_unseen(self, seen: Visibility, upto: int) -> int | None:
        """A transaction numbered `upto` or lower that a read did not see, or None.

        What was seen is forgotten: a transaction that is visible stays visible.
        """
        first: int | None = None
        seen_now: list[int] = []
        for transaction, number in self._open.items():
            if seen.contains(transaction):
                seen_now.append(transaction)
            elif number <= upto and first is None:
                first = transaction
        for transaction in seen_now:
            del self._open[transaction]
        return first

    def keep_last(self, count: int) -> None:
        """Forget all but the last `count`, for when it is unknown what reads show."""
        self._open = dict(list(self._open.items())[-count:])


class PriorTransactions:
    """Transactions that an earlier connection may have streamed and that no read has shown yet.

    Which ones is not recorded, so every transaction that the first read doesn't show is treated as
    one of them until it is shown, or streamed by this connection. The first transaction that this
    connection streams may be the rest of one whose beginning was streamed before.
    """

    def __init__(self) -> None:
        self._first: int | None = None
        self._open: set[int] | None = None

    def add(self, transactions: Iterable[int]) -> None:
        """This connection streamed these."""
        for transaction in transactions:
            if self._first is None:
                self._first = transaction
            if self._open and transaction != self._first:
                self._open.discard(transaction)

    def first_unseen(
        self, seen: Visibility, streamed: Iterable[StreamedTransactions]
    ) -> int | None:
        """One that a read did not show, or None. `streamed` by this connection, by table."""
        if self._open is None:
            by_table = list(streamed)
            self._open = {
                transaction
                for transaction in seen.unseen()
                if transaction == self._first
                or not any(transaction in transactions for transactions in by_table)
            }
        self._open = {transaction for transaction in self._open if not seen.contains(transaction)}
        return min(self._open, default=None)


class VisibilityTracker:
    """The transactions that reads have still to show, over all tables of one connection. Used by
    one task.
    """

    def __init__(self) -> None:
        self._by_table: dict[str, StreamedTransactions] = {}
        self._prior = PriorTransactions()

    def __len__(self) -> int:
        """How many transactions of this connection are remembered until a read shows them."""
        return sum(map(len, self._by_table.values()))

    @property
    def tables(self) -> list[str]:
        """The tables with remembered transactions."""
        return list(self._by_table)

    @property
    def needs_probe(self) -> bool:
        """Whether so many are remembered that a read should find which of them can be forgotten."""
        return any(len(each) > PROBE_ABOVE_TRANSACTIONS for each in self._by_table.values())

    def add(self, table: str, transactions: Iterable[int]) -> None:
        """Changes of these transactions were streamed, in this order."""
        ordered = dict.fromkeys(transactions)
        streamed = self._by_table.setdefault(table, StreamedTransactions())
        streamed.add(ordered)
        if len(streamed) > MAX_TRANSACTIONS:
            streamed.keep_last(MAX_TRANSACTIONS // 2)
        self._prior.add(ordered)

    def last_number(self, table: str) -> int:
        """The number of the last transaction of a table; 0: none was streamed."""
        streamed = self._by_table.get(table)
        return streamed.last_number if streamed is not None else 0

    def first_unseen(self, seen: Visibility, table: str, upto: int) -> int | None:
        """A transaction that a read of `table` should show but doesn't: one of an earlier
        connection, or one of `table` numbered `upto` or lower. What the read shows counts for all
        tables.
        """
        unseen = self._prior.first_unseen(seen, self._by_table.values())
        for name, streamed in self._by_table.items():
            first = streamed.first_unseen(seen, upto if name == table else 0)
            unseen = first if unseen is None else unseen
        return unseen

    def forget_seen(self, seen: Visibility | None) -> None:
        """Forget what a read showed (None: no table may be read), and the older half of too many."""
        for streamed in self._by_table.values():
            if seen is not None:
                streamed.first_unseen(seen, 0)
            if len(streamed) > PROBE_ABOVE_TRANSACTIONS:
                streamed.keep_last(PROBE_ABOVE_TRANSACTIONS // 2)
