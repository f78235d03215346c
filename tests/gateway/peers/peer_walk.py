"""Random handlers over an ERP that changes, each answer compared with every state it may be of."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from bridge.model.errors import BridgeError
from bridge.model.read_demands import ReadDemands
from bridge.observe import PeersRead
from tests.gateway.peers.versioned_erp import (
    COLUMNS,
    MAX_STALENESS_S,
    RELATIONS,
    PeerHarness,
    State,
    filled,
    matching,
)


class WrongAnswer(AssertionError):
    """An answer that no state allows, or a query that nobody's rows lead to."""


@dataclass
class Walk:
    """One run of several handlers, of readers of their own, and a writer between their reads."""

    chance: random.Random
    harness: PeerHarness = field(init=False)
    seen: dict[tuple[str, str, str], int] = field(default_factory=dict)
    served: int = 0

    def __post_init__(self) -> None:
        chance = self.chance
        erp = filled(
            chance.randint(1, 8),
            orders=chance.randint(1, 3),
            max_keys=chance.choice([2, 3, 5, 100]),
        )
        erp.pauses = [(chance.randint(0, 3), chance.randint(0, 3)) for _ in range(20)]
        self.harness = PeerHarness(erp)

    async def run(self) -> None:
        handlers = [
            asyncio.ensure_future(self._handle(f"agent{number}"))
            for number in range(self.chance.randint(1, 3))
        ]
        try:
            await asyncio.gather(*handlers)
        finally:
            for handler in handlers:
                handler.cancel()
            await asyncio.gather(*handlers, return_exceptions=True)
            await self.harness.gateway.close()
        served = [n.served for n in self.harness.notices if isinstance(n, PeersRead)]
        self.served = sum(served)
        self._check_queries()

    async def _handle(self, reader: str) -> None:
        """Attempts one after the other; rows of an earlier one may be read on in a later one."""
        held: list[tuple[str, Any]] = []
        for _ in range(self.chance.randint(1, 3)):
            demands = self.harness.demands(reader)
            self._write()
            orders = [f"o{number}" for number in range(3)]
            rows = await self._query(reader, self.chance.choice(orders), demands)
            held += [("lines", row) for row in rows]
            for _ in range(self.chance.randint(0, 25)):
                if self.chance.random() < 0.3:
                    self._write()
                if held:
                    held += await self._read_on(reader, held, demands)

    def _write(self) -> None:
        chance, erp = self.chance, self.harness.erp
        newest = erp.states[-1][1]
        table = chance.choice(["LINES", "PRODUCTS", "STOCKS"])
        row_id = chance.choice([*newest[table], f"new{len(erp.states)}"])
        product = chance.choice([*newest["PRODUCTS"], "none"])
        rows = {
            "LINES": (row_id, f"o{chance.randint(0, 2)}", product),
            "PRODUCTS": (row_id, f"m{chance.randint(0, 2)}"),
            "STOCKS": (row_id, product),
        }
        erp.write(table, row_id if chance.random() < 0.3 else rows[table])
        erp.now += chance.choice([0, 0, 0.1, 1.0, MAX_STALENESS_S])

    async def _query(self, reader: str, order: str, demands: ReadDemands) -> list[Any]:
        oldest = self._oldest_allowed(demands)
        rows = await self.harness.gateway.query("lines", {"order_id": order}, 1000, demands)
        self._check(reader, rows, ("LINES", "ORDER_ID", order), oldest)
        return rows

    async def _read_on(
        self, reader: str, held: list[tuple[str, Any]], demands: ReadDemands
    ) -> list[tuple[str, Any]]:
        """Mostly the next row by the relation of the one before, as a loop does."""
        entity, row = self.chance.choice(held[-8:])
        relations = RELATIONS[entity.upper()]
        if not relations:
            return []
        relation = self.chance.choice(relations)
        demands = self._varied(demands)
        field_name = relation.from_field or relation.by
        assert isinstance(field_name, str)
        target, column = relation.entity.upper(), "".join(relation.by_fields).upper() or "ID"
        value = row[field_name] if relation.from_field else row.id
        oldest = self._oldest_allowed(demands)
        gateway = self.harness.gateway
        try:
            if relation.from_field and self.chance.random() < 0.4:
                answer: Any = await gateway.get(relation.entity, value, demands)
            else:
                answer = await gateway.related(entity, row, relation.name, demands)
        except BridgeError as error:
            raise WrongAnswer(f"a read failed: {error}") from error
        rows: list[Any] = answer if isinstance(answer, list) else [answer]
        rows = [each for each in rows if each is not None]
        self._check(reader, rows, (target, column, value), oldest)
        return [(relation.entity, each) for each in rows]

    def _varied(self, demands: ReadDemands) -> ReadDemands:
        kind = self.chance.random()
        if kind < 0.05:
            return demands._replace(fresh=True)
        if kind < 0.1:
            return demands._replace(peers=False)
        if kind < 0.2:
            return demands._replace(max_staleness=self.chance.choice([0, 0.5, 30]))
        return demands

    def _oldest_allowed(self, demands: ReadDemands) -> float:
        """The time of the oldest state that may be answered_rows."""

        now = self.harness.erp.now
        began = demands.cause.known_at if demands.cause else now
        if demands.fresh or not demands.peers:
            return now
        staleness = demands.max_staleness
        return max(now - (MAX_STALENESS_S if staleness is None else staleness), began)

    def _check(
        self, reader: str, rows: list[Any], question: tuple[str, str, str], oldest: float
    ) -> None:
        erp = self.harness.erp
        table, column, value = question
        answered_rows = sorted(tuple(row[name.lower()] for name in COLUMNS[table]) for row in rows)
        states = erp.states_between(oldest, erp.now)
        if not any(_rows(state, table, column, value) == answered_rows for state in states):
            raise WrongAnswer(
                f"{table} {column}={value}: {answered_rows} is of no state since {oldest}"
            )
        for row in rows:
            key = (reader, table, row.id)
            if int(row.version) < self.seen.get(key, 0):
                raise WrongAnswer(f"{reader} saw {key} at {self.seen[key]}, and now {row.version}")
            self.seen[key] = int(row.version)

    def _check_queries(self) -> None:
        """No key was asked for that no answered row leads to; `o` are the orders of `_query`."""
        led = Counter[tuple[str, str]]()
        for table, row in self.harness.erp.answered:
            for relation in RELATIONS[table]:
                start = relation.from_field or "id"
                assert isinstance(start, str)
                led[relation.entity.upper(), row[COLUMNS[table].index(start.upper())]] += 1
        for ask in self.harness.erp.queries:
            for [value] in ask.keys:
                if ask.columns != ("ORDER_ID",) and not led[ask.table, value]:
                    raise WrongAnswer(f"{ask.table} {value} was asked for by nobody")


def _rows(state: State, table: str, column: str, value: str) -> list[tuple[str, ...]]:
    return sorted(matching(state, table, (column,), [(value,)]))


def walk(seed: int) -> Walk:
    """One run. Raises WrongAnswer."""
    run = Walk(random.Random(seed))  # noqa: S311 - seeded
    asyncio.run(run.run())
    return run
