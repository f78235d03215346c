"""A load of mixed transactions on one table, for SQLite and for PostgreSQL alike."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from typing import Protocol

from tests.waiting import WAIT_TIMEOUT_S

TABLE = "CREATE TABLE items (id BIGINT NOT NULL PRIMARY KEY, name VARCHAR(40), n BIGINT, big TEXT)"


class Session(Protocol):
    """Carries a transaction out, or rolls it back."""

    def run(self, statements: list[str], commit: bool) -> None: ...

    def close(self) -> None: ...


def transactions(seed: int, first: int, keys: int) -> Iterator[tuple[list[str], bool]]:
    """Endless transactions on keys `first` to `first + keys`: statements, and whether to commit."""
    rng = random.Random(seed)  # noqa: S311 - a seeded load
    number = 0
    while True:
        statements = []
        for _ in range(rng.choice([1, 1, 1, 2, 4, 9])):
            number += 1
            statements.append(_statement(rng, first, keys, number))
        yield statements, rng.random() > 0.08


def _statement(rng: random.Random, first: int, keys: int, number: int) -> str:
    key = first + rng.randrange(keys)
    kind = rng.random()
    if kind < 0.35:
        big = "".join(rng.choices("abcdefghij' ", k=rng.choice([5, 60, 6000]))).replace("'", "''")
        return (
            f"INSERT INTO items VALUES ({key}, 'item {number}', {number}, '{big}') "
            f"ON CONFLICT (id) DO UPDATE SET name = 'again {number}'"
        )
    if kind < 0.65:
        return f"UPDATE items SET n = {number} WHERE id = {key}"
    if kind < 0.75:
        return f"UPDATE items SET big = NULL, name = 'ü{number}' WHERE id = {key}"
    if kind < 0.87:
        return f"DELETE FROM items WHERE id = {key}"
    if kind < 0.94:
        other = first + rng.randrange(keys)
        return (
            f"UPDATE items SET id = {other}, n = {number} WHERE id = {key} "
            f"AND NOT EXISTS (SELECT 1 FROM items WHERE id = {other})"
        )
    return f"UPDATE items SET n = {number} WHERE id BETWEEN {key} AND {key + 7}"


class Loader(threading.Thread):
    """Carries transactions out until it is told to stop. What it raised is raised by `end`."""

    def __init__(self, session: Session, seed: int, first: int, keys: int, pause: float) -> None:
        super().__init__(daemon=True)
        self._work = transactions(seed, first, keys)
        self._session = session
        self._pause = pause
        self._stop_now = threading.Event()
        self._error: BaseException | None = None
        self.done = 0

    def run(self) -> None:
        try:
            while not self._stop_now.wait(self._pause):
                statements, commit = next(self._work)
                self._session.run(statements, commit)
                self.done += 1
        except BaseException as error:  # noqa: BLE001 - handed to the thread that ends this one
            self._error = error
        finally:
            self._session.close()

    def end(self) -> None:
        self._stop_now.set()
        self.join(WAIT_TIMEOUT_S)
        if self._error is not None:
            raise self._error
