"""Which answers may be stored: those that aren't older than what was applied. Pure.

A read shows some state between its begin and its end. An applied change fences its key until no
read can come back that doesn't show it: with a transaction, once a read has shown that and every
read begun before that has come back; without one, once every read begun before has come back.
What is shown is monotone: all reads come from one server (else `CacheState.reset`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from bridge.connector import Visibility

ALWAYS: Final = float("-inf")


class InFlight:
    """A read that has begun and not come back.

    number: later reads have greater ones.
    begun_at: seconds of the reader's clock.
    """

    __slots__ = ("begun_at", "number")

    def __init__(self, number: int, begun_at: float) -> None:
        self.number = number
        self.begun_at = begun_at


class AppliedTransaction:
    """A transaction of which something was applied.

    number: the argument of `Visibility.contains`.
    shown_after: the last read that had begun when a read showed it; None before.
    """

    __slots__ = ("fences", "number", "shown_after")

    def __init__(self, number: int) -> None:
        self.number = number
        self.shown_after: int | None = None
        self.fences: list[Fence] = []


@dataclass(slots=True, eq=False)
class Fence:
    """What an answer has to show to be stored under a key, or under any key of an entity.

    entity: bare name.
    key: None: all keys of the entity.
    transaction: None: the answer's read must have begun after `begun` and, without visibility,
    after `captured_at` and the allowance.
    values: the values of the fields that lists are kept by, as far as the source sent them; None:
    there is no row. A fence of all keys matches every list.
    """

    entity: str
    key: bytes | None
    values: dict[str, Any] | None
    transaction: AppliedTransaction | None
    begun: int
    captured_at: float


class Fences:
    """The fences and reads in flight of one system. Used by one thread.

    reports_visibility: whether reads report which transactions they show.
    allowance: seconds; see `EffectRules`.
    max_keys: keys that are fenced at most; beyond, an entity's are merged into fences of all keys.
    max_transactions: transactions that are remembered at most; see `is_full`.
    """

    def __init__(
        self,
        *,
        reports_visibility: bool,
        allowance: float,
        max_keys: int = 100_000,
        max_transactions: int = 100_000,
    ) -> None:
        self._reports_visibility = reports_visibility
        self._allowance = allowance
        self._max_keys = max_keys
        self._max_transactions = max_transactions
        self._in_flight: dict[int, InFlight] = {}
        self._fences: dict[str, dict[bytes | None, list[Fence]]] = {}
        self._unshown: dict[int, AppliedTransaction] = {}
        #: What is released once the reads up to `shown_after` or `begun` have come back, in order.
        self._releasable: deque[AppliedTransaction] = deque()
        self._timed: deque[Fence] = deque()
        self.last_read = 0
        self._now = ALWAYS

    @property
    def key_count(self) -> int:
        """How many keys are fenced, fences of all keys of an entity included."""
        return sum(map(len, self._fences.values()))

    @property
    def transaction_count(self) -> int:
        """How many transactions are remembered."""
        return len(self._unshown) + len(self._releasable)

    @property
    def is_full(self) -> bool:
        """Whether nothing more may be applied until a read has come back: make one, of any row."""
        return self.transaction_count >= self._max_transactions

    @property
    def room(self) -> int:
        """How many transactions more may be applied before `is_full`."""
        return self._max_transactions - self.transaction_count

    def begin(self, now: float) -> InFlight:
        """Register a read, before it is sent. `now`: seconds, never less than in earlier calls."""
        self.last_read += 1
        self._now = max(self._now, now)
        read = self._in_flight[self.last_read] = InFlight(self.last_read, now)
        return read

    def end(self, read: InFlight, visibility: Visibility | None) -> None:
        """The read has come back and what it brought was stored, or it failed (`visibility` None)."""
        if self._in_flight.pop(read.number, None) is None:
            return
        if visibility is not None:
            for transaction in [*self._unshown.values()]:
                if visibility.contains(transaction.number):
                    del self._unshown[transaction.number]
                    transaction.shown_after = self.last_read
                    self._releasable.append(transaction)
        self._release()

    def add(
        self,
        entity: str,
        key: bytes | None,
        values: dict[str, Any] | None,
        transaction: int | None,
        captured_at: float,
    ) -> None:
        """Fence a key (None: all keys) of an entity; the parameters are those of Fence."""
        applied = self._applied(transaction)
        fence = Fence(entity, key, values, applied, self.last_read, captured_at)
        self._insert(fence)
        if self.key_count > self._max_keys:
            self._merge(max(self._fences, key=lambda name: len(self._fences[name])))
        if applied is None:
            self._release()

    def refuses(
        self, entity: str, key: bytes, read: InFlight, visibility: Visibility | None
    ) -> bool:
        """Whether an answer of that read may not be stored under the key."""
        fences = self._fences.get(entity, {})
        return any(
            not self._is_shown(fence, read, visibility)
            for each in (key, None)
            for fence in fences.get(each, ())
        )

    def transactions(self, entity: str, key: bytes) -> frozenset[int]:
        """What a read has to show of what was applied to the key, as far as it has a transaction."""
        fences = self._fences.get(entity)
        if fences is None:
            return frozenset()
        return frozenset(
            fence.transaction.number
            for each in (key, None)
            for fence in fences.get(each, ())
            if fence.transaction is not None
        )

    def refuses_list(
        self,
        entity: str,
        read: InFlight,
        visibility: Visibility | None,
        affects: Callable[[Fence], bool],
    ) -> bool:
        """Whether a list of that read may not be stored. `affects`: whether what a fence stands for
        may change the list.
        """
        return any(
            not self._is_shown(fence, read, visibility) and affects(fence)
            for fence in self._of(entity)
        )

    def clear(self) -> None:
        """Forget all fences. Reads in flight stay registered."""
        self._fences.clear()
        self._unshown.clear()
        self._releasable.clear()
        self._timed.clear()

    def earliest_in_flight(self) -> int:
        """The earliest read that hasn't come back; if all have, the one that begins next."""
        return next(iter(self._in_flight), self.last_read + 1)

    def _is_shown(self, fence: Fence, read: InFlight, visibility: Visibility | None) -> bool:
        if fence.transaction is not None:
            return visibility is not None and visibility.contains(fence.transaction.number)
        if read.number <= fence.begun:
            return False
        return self._reports_visibility or fence.captured_at + self._allowance < read.begun_at

    def _applied(self, number: int | None) -> AppliedTransaction | None:
        if number is None or not self._reports_visibility:
            return None
        transaction = self._unshown.get(number)
        if transaction is None:
            transaction = self._unshown[number] = AppliedTransaction(number)
        return transaction

    def _of(self, entity: str) -> Iterator[Fence]:
        for fences in self._fences.get(entity, {}).values():
            yield from fences

    def _insert(self, fence: Fence) -> None:
        fences = self._fences.setdefault(fence.entity, {}).setdefault(fence.key, [])
        fences.append(fence)
        if fence.transaction is not None:
            fence.transaction.fences.append(fence)
        else:
            self._timed.append(fence)

    def _release(self) -> None:
        earliest = self.earliest_in_flight()
        while self._releasable and self._is_past(self._releasable[0].shown_after, earliest):
            for fence in self._releasable.popleft().fences:
                self._remove(fence)
        while self._timed and self._is_over(self._timed[0], earliest):
            self._remove(self._timed.popleft())

    def _is_past(self, number: int | None, earliest: int) -> bool:
        return number is not None and earliest > number

    def _is_over(self, fence: Fence, earliest: int) -> bool:
        if earliest <= fence.begun:
            return False
        return self._reports_visibility or fence.captured_at + self._allowance < self._since()

    def _since(self) -> float:
        """When the earliest read that may come back has begun, at the earliest."""
        return next((read.begun_at for read in self._in_flight.values()), self._now)

    def _remove(self, fence: Fence) -> None:
        entity = self._fences.get(fence.entity, {})
        fences = entity.get(fence.key, [])
        if fence in fences:
            fences.remove(fence)
        if not fences:
            entity.pop(fence.key, None)
        if not entity:
            self._fences.pop(fence.entity, None)

    def _merge(self, entity: str) -> None:
        """Make fences of all keys from those of each key: one per transaction, one without."""
        fences = list(self._of(entity))
        del self._fences[entity]
        self._timed = deque(fence for fence in self._timed if fence.entity != entity)
        timed = [fence for fence in fences if fence.transaction is None]
        for transaction in {id(f.transaction): f.transaction for f in fences}.values():
            if transaction is not None:
                transaction.fences = [f for f in transaction.fences if f.entity != entity]
                self._insert(Fence(entity, None, None, transaction, 0, ALWAYS))
        if timed:
            begun = max(fence.begun for fence in timed)
            captured_at = max(fence.captured_at for fence in timed)
            self._insert(Fence(entity, None, None, None, begun, captured_at))
