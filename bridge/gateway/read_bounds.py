"""What a query's answer has to show for the reads that wait for it.

The log's order isn't the order in which a source shows its changes: a standby shows them later, and
a transaction that waits for a synchronous standby is streamed before any read shows it. So whoever
waits with a bound is told whether the answer shows it, and asks again if not. A read joins only a
query that wasn't sent when it was asked (`Batcher`); a bound counts for the queries sent after it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from bridge.connector import Visibility
from bridge.model.read_demands import ReadDemands
from bridge.model.receipt import Receipt

NO_WAITING: Final[tuple[WaitingBound, ...]] = ()


class VisibilityBound:
    """What an answer has to show.

    transactions: arguments of `Visibility.contains`.
    is_reported: besides something whose commit was reported before the read was asked, but whose
    transaction isn't known, as of a receipt. Every read shows that, but for those of a standby.
    """

    __slots__ = ("is_reported", "transactions")

    def __init__(self, transactions: Iterable[int] = (), *, is_reported: bool = False) -> None:
        self.transactions = frozenset(transactions)
        self.is_reported = is_reported

    def is_met_by(self, visibility: Visibility | None) -> bool:
        """Whether an answer with this visibility shows it. None: the source's reads always show
        what it has emitted or reported.
        """
        if visibility is None:
            return True
        if self.is_reported and getattr(visibility, "in_recovery", False):
            return False
        return all(map(visibility.contains, self.transactions))


def visibility_bound(demands: ReadDemands, system: str) -> VisibilityBound | None:
    """What the demands require of a live answer of this system; None: nothing."""
    cause, after = demands.cause, demands.after
    transactions = []
    is_reported = False
    has_event = cause is not None and cause.system == system and bool(cause.position)
    if cause is not None and has_event:
        if cause.transaction is not None and cause.transaction.isdecimal():
            transactions.append(int(cause.transaction))
        else:
            is_reported = True
    if isinstance(after, Receipt) or (
        after is not None and not (has_event and cause is not None and after == cause.position)
    ):
        is_reported = True
    if not transactions and not is_reported:
        return None
    return VisibilityBound(transactions, is_reported=is_reported)


class WaitingBound:
    """The bound of reads that wait. is_missed: an answer that may be theirs doesn't show it."""

    __slots__ = ("bound", "is_missed")

    def __init__(self, bound: VisibilityBound) -> None:
        self.bound = bound
        self.is_missed = False


class WaitingBounds:
    """The bounds of the reads of one system that wait, by entity. Used by one task."""

    def __init__(self) -> None:
        self._waiting: dict[str, dict[WaitingBound, None]] = {}

    def add(self, entity: str, bound: VisibilityBound) -> WaitingBound:
        """Before a read is asked. Call `remove` once it was answered, in any case."""
        waiting = WaitingBound(bound)
        self._waiting.setdefault(entity, {})[waiting] = None
        return waiting

    def remove(self, entity: str, waiting: WaitingBound) -> None:
        """The read was answered, or given up."""
        bounds = self._waiting[entity]
        del bounds[waiting]
        if not bounds:
            del self._waiting[entity]

    def of_query(self, entity: str) -> Sequence[WaitingBound]:
        """Those that a query which is sent now may answer: hand them to `note_answer`."""
        bounds = self._waiting.get(entity)
        return NO_WAITING if bounds is None else tuple(bounds)


def note_answer(waiting: Sequence[WaitingBound], visibility: Visibility | None) -> None:
    """The query's answer came."""
    for each in waiting:
        if not each.is_missed and not each.bound.is_met_by(visibility):
            each.is_missed = True


class BoundWindow:
    """While it is open, queries of an entity are told a bound. Without a bound it does nothing."""

    __slots__ = ("_bounds", "_entity", "_waiting")

    def __init__(self, bounds: WaitingBounds, entity: str, bound: VisibilityBound | None) -> None:
        self._bounds = bounds
        self._entity = entity
        self._waiting = None if bound is None else bounds.add(entity, bound)

    def close(self) -> bool:
        """To be called once. Returns whether an answer missed the bound."""
        if self._waiting is None:
            return False
        self._bounds.remove(self._entity, self._waiting)
        return self._waiting.is_missed
