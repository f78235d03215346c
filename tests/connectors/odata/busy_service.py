"""An honest service whose rows change between any two questions: each answer is true when it is given."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

from tests.connectors.odata.lying_service import LyingService
from tests.http_proxy import CannedResponse, ForwardedRequest

STEP = timedelta(milliseconds=7)


class BusyService(LyingService):
    """Before each answer others insert, change and delete up to `most` rows of `numbers` keys."""

    def __init__(
        self, seed: int, *, numbers: int, most: int = 2, version: str = "v4", page: int = 100
    ) -> None:
        super().__init__(version=version, page=page)
        self._dice = random.Random(seed)  # noqa: S311 - a seeded load
        self._keys = [f"K{number:03}" for number in range(numbers)]
        self._most = most
        self._now = datetime.now(UTC) - timedelta(hours=1)
        self.clock = self._tick
        self.busy = True
        #: Every key that was there throughout since `watch`.
        self.stayed: set[str] = set()
        for table in self.sets:
            for key in self._keys[::2]:
                self.write(table, {"order_no": key, "customer": "C0", "qty": 0})
        self.watch()

    def _tick(self) -> datetime:
        self._now += STEP
        return self._now

    def watch(self) -> None:
        """From now on."""
        self.stayed = {row["order_no"] for row in self.sets["Plains"]}

    def answer(self, request: ForwardedRequest) -> CannedResponse:
        if self.busy and "$metadata" not in request.path:
            for table in self.sets:
                for _ in range(self._dice.randint(0, self._most)):
                    self._act(table)
        return super().answer(request)

    def _act(self, table: str) -> None:
        key = self._dice.choice(self._keys)
        exists = self._row(table, key) is not None
        if exists and self._dice.random() < 0.5:
            self.delete(table, key)
            if table == "Plains":
                self.stayed.discard(key)
            return
        number = self._dice.randrange(3)
        self.write(table, {"order_no": key, "customer": f"C{number}", "qty": number})
