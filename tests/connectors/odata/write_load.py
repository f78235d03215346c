"""A legacy program that changes rows of a service at random, and notes what each row ever was.

Nothing here is shared with the connector: plain HTTP and JSON.
"""

from __future__ import annotations

import json
import random
import threading
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

import httpx

from tests.waiting import wait_until

KEY = "order_no"
EXACT = "application/json;IEEE754Compatible=true"
Row = dict[str, Any]
Client = Callable[[], httpx.Client]


class EntitySetUser:
    """One entity set, as its users' own program sees it. Waits where the service is away."""

    def __init__(self, client: httpx.Client, table: str) -> None:
        self._client = client
        self._table = table

    def send(self, method: str, key: str, row: Row | None) -> None:
        """A write, whatever becomes of it: `row` tells."""
        path = self._table if method == "POST" else f"{self._table}('{key}')"
        headers = {"Content-Type": EXACT, "Accept": EXACT}
        if method != "POST":
            headers["If-Match"] = "*"
        content = None if row is None else json.dumps(row)
        try:
            answer = self._client.request(method, path, content=content, headers=headers)
        except httpx.TransportError:
            return
        assert answer.is_success or answer.status_code in {503, 502}, answer.text

    def row(self, key: str) -> Row | None:
        """The row as it is, or None."""
        answer = self._get(f"{self._table}('{key}')")
        return None if answer.status_code == 404 else plain(answer.text)

    def rows(self) -> dict[str, Row]:
        """Every row, by key."""
        rows_by_key: dict[str, Row] = {}
        link = self._table
        while link:
            document = json.loads(self._get(link).text, parse_float=Decimal)
            rows = [plain(json.dumps(row, default=str)) for row in document["value"]]
            rows_by_key |= {row[KEY]: row for row in rows}
            link = document.get("@odata.nextLink", "")
        return rows_by_key

    def _get(self, path: str) -> httpx.Response:
        why = ""

        def answer() -> httpx.Response | None:
            nonlocal why
            try:
                response = self._client.get(path, headers={"Accept": EXACT})
            except httpx.TransportError as error:
                why = repr(error)
                return None
            why = response.text
            return response if response.is_success or response.status_code == 404 else None

        return wait_until(answer, describe=lambda: f"the service is away: {why}")


def plain(text: str) -> Row:
    """A row of JSON as the log should have it, by the properties' names."""
    row: Row = json.loads(text, parse_float=Decimal)
    row = {name: value for name, value in row.items() if not name.startswith("@")}
    if row.get("price") is not None:
        row["price"] = Decimal(str(row["price"])).quantize(Decimal("0.01"))
    for name in ("createdAt", "modifiedAt"):
        if row.get(name) is not None:
            row[name] = datetime.fromisoformat(row[name])
    return row


class ODataWriteLoad(threading.Thread):
    """Creates, changes and deletes rows with keys from `first` on, until it is told to end.

    Nobody else writes these keys, so `states` is each one's whole history: None where it was gone.
    `qty` is another one with each write, so that no two states of a key are alike.
    """

    def __init__(self, client: Client, table: str, seed: int, first: int, keys: int = 40) -> None:
        super().__init__(daemon=True)
        self._client = client
        self._table = table
        self._dice = random.Random(seed)  # noqa: S311 - a seeded load
        self._keys = [f"{first + number:06}" for number in range(keys)]
        self._number = 0
        self._over = threading.Event()
        self._error: BaseException | None = None
        self.states: dict[str, list[Row | None]] = defaultdict(list)
        self.done = 0

    def run(self) -> None:
        try:
            with self._client() as client:
                erp = EntitySetUser(client, self._table)
                while not self._over.wait(self._dice.choice([0, 0.02, 0.05, 0.2])):
                    self._act(erp)
        except BaseException as error:  # noqa: BLE001 - told by `end`
            self._error = error

    def end(self) -> None:
        """Stop it; raises what it raised."""
        self._over.set()
        self.join(60)
        assert not self.is_alive(), "the load doesn't end"
        if self._error is not None:
            raise self._error

    def _act(self, erp: EntitySetUser) -> None:
        key, kind = self._dice.choice(self._keys), self._dice.random()
        exists = self.states[key] and self.states[key][-1] is not None
        if not exists:
            self._write(erp, "POST", key, {KEY: key, **self._values()})
        elif kind < 0.7:
            self._write(erp, "PATCH", key, self._values())
        else:
            self._write(erp, "DELETE", key, None)
            if kind > 0.85 and self.states[key][-1] is None:
                # The same key again, mostly before anybody has looked.
                self._write(erp, "POST", key, {KEY: key, **self._values()})

    def _write(self, erp: EntitySetUser, method: str, key: str, row: Row | None) -> None:
        erp.send(method, key, row)
        # An answer that was lost leaves it open what happened; the row tells.
        now = erp.row(key)
        if not self.states[key] or self.states[key][-1] != now:
            self.states[key].append(now)
        self.done += 1

    def _values(self) -> Row:
        self._number += 1
        values: Row = {"qty": self._number}
        if self._dice.random() < 0.5:
            values["customer"] = self._dice.choice(
                [None, "other", "M\u00fcller \U0001f69a", "O'Neil"]
            )
        if self._dice.random() < 0.5:
            cents = self._dice.randrange(10**9)
            values["price"] = self._dice.choice([None, f"{cents // 100}.{cents % 100:02}"])
        return values
