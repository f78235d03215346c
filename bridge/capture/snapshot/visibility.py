"""Which transactions were streamed and not yet shown by a read: log order is not visibility order.

Pure: told what was streamed and what reads have seen.
"""

from __future__ import annotations

from collections.abc import Iterable

from bridge.connector import Visibility


class StreamedTransactions:
    """Transactions that were streamed and not yet seen by a read of the table.

    Numbered in stream order, so that those before a low watermark are told from later ones.
    """

    def __init__(self) -> None:
        self._number = 0
        self._open: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._open)

    def __contains__(self, transaction: int) -> bool:
        return transaction in self._open

    @property
    def number(self) -> int:
        """The number of the last transaction."""
        return self._number

    def add(self, transactions: Iterable[int]) -> None:
        """These were streamed, in this order."""
        for transaction in transactions:
            self._number += 1
            self._open[transaction] = self._number

    def lacks(self, seen: Visibility, upto: int) -> int | None:
        """A transaction numbered `upto` or lower that a read did not see, or None.

        What was seen is forgotten: a transaction that is visible stays visible.
        """
        missing: int | None = None
        proven: list[int] = []
        for transaction, number in self._open.items():
            if seen.contains(transaction):
                proven.append(transaction)
            elif number <= upto and missing is None:
                missing = transaction
        for transaction in proven:
            del self._open[transaction]
        return missing

    def keep(self, count: int) -> None:
        """Forget all but the last `count`, where nothing tells what reads show."""
        self._open = dict(list(self._open.items())[-count:])


class PriorTransactions:
    """Transactions that an earlier connection may have streamed and that no read has shown yet.

    Whoever streamed them told nobody, so every one that the first read doesn't show is held to be
    one of them until it is shown or is streamed by this connection. The first transaction that
    this connection streams may be the rest of one of which the beginning was streamed before.
    """

    def __init__(self) -> None:
        self._first: int | None = None
        self._open: set[int] | None = None

    def streamed(self, transactions: Iterable[int]) -> None:
        """This connection streamed these."""
        for transaction in transactions:
            if self._first is None:
                self._first = transaction
            if self._open and transaction != self._first:
                self._open.discard(transaction)

    def lacks(self, seen: Visibility, streamed: Iterable[StreamedTransactions]) -> int | None:
        """One that a read did not show, or None. `streamed` by this connection, by table."""
        if self._open is None:
            told = list(streamed)
            self._open = {
                one
                for one in seen.unseen()
                if one == self._first or not any(one in unproven for unproven in told)
            }
        self._open = {one for one in self._open if not seen.contains(one)}
        return min(self._open, default=None)
