"""A made-up legacy load, the same for the same seed."""

from __future__ import annotations

import random
import threading
from decimal import Decimal
from typing import Any, Protocol

from bridge.kit.connector.legacy import (
    KEY,
    Create,
    Delete,
    Limitation,
    Operation,
    Rekey,
    Update,
)


def order(number: int, **more: Any) -> dict[str, Any]:
    """A row."""
    row = {
        KEY: f"{number:06}",
        "customer": f"customer {number % 7}",
        "qty": number,
        "price": Decimal(number * 100 + number % 100) / 100,
    }
    return row | more


class RandomLoad:
    """Random operations that fit the existing rows. Keys are never reused."""

    def __init__(
        self,
        seed: int,
        keys: list[str] | None = None,
        limitations: frozenset[Limitation] = frozenset(),
    ) -> None:
        self._random = random.Random(seed)  # noqa: S311 - made-up data
        self._rekeys = "rekey" not in limitations
        self._keys = list(keys or ())
        self._next = 1 + max((int(key) for key in self._keys), default=0)

    def operations(self, count: int) -> list[Operation]:
        """The next operations, of one transaction."""
        return [self._operation() for _ in range(count)]

    def _operation(self) -> Operation:
        dice = self._random.random()
        if not self._keys or dice < 0.35:
            row = order(self._fresh())
            self._keys.append(row[KEY])
            if self._random.random() < 0.2:
                row |= {"customer": None, "price": None}
            return Create(row)
        at = self._random.randrange(len(self._keys))
        if dice < 0.5:
            return Delete(self._keys.pop(at))
        if dice < 0.6 and self._rekeys:
            old, self._keys[at] = self._keys[at], f"{self._fresh():06}"
            return Rekey(old, self._keys[at])
        values: dict[str, Any] = {"qty": self._random.randrange(10**6)}
        if self._random.random() < 0.3:
            values["customer"] = self._random.choice([None, "other", "M\u00fcller \U0001f69a"])
        return Update(self._keys[at], values)

    def _fresh(self) -> int:
        self._next += 1
        return self._next - 1


class AppliesOperations(Protocol):
    """A legacy system, or a witness before one."""

    def apply(self, *operations: Operation) -> None: ...


class LoadThread:
    """A load in a thread, as a legacy program that continues whatever the bridge does."""

    def __init__(self, legacy: AppliesOperations, load: RandomLoad, transactions: int) -> None:
        self._thread = threading.Thread(target=self._run, args=(legacy, load, transactions))
        self._error: BaseException | None = None

    def _run(self, legacy: AppliesOperations, load: RandomLoad, transactions: int) -> None:
        try:
            for number in range(transactions):
                # A rolled-back transaction leaves the keys as they were, so it only updates.
                legacy.apply(*load.operations(1 + number % 4))
        except BaseException as error:  # noqa: BLE001 - raised by `end`
            self._error = error

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    @property
    def going(self) -> bool:
        """Whether it still runs."""
        return self._thread.is_alive()

    def end(self) -> None:
        """Wait for its end; raises what it raised."""
        self._thread.join()
        if self._error is not None:
            raise self._error
