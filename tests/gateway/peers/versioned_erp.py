"""An ERP in memory that remembers every state that it ever had: what peers are checked against."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from bridge.connector import Ask, ReaderFeatures, Rows, Visibility
from bridge.gateway import Gateway
from bridge.gateway.peers import Peers
from bridge.model.errors import Rejected, RetryLater
from bridge.model.read_demands import ReadCause, ReadDemands
from bridge.model.specs import SystemLimits
from bridge.model.types import Relation
from bridge.observe import Notice
from tests.gateway.memory_reader import PaddedTable, shape_of

MAX_STALENESS_S = 5.0
COLUMNS = {
    "LINES": ("ID", "ORDER_ID", "PRODUCT_ID", "VERSION"),
    "PRODUCTS": ("ID", "MAKER_ID", "VERSION"),
    "STOCKS": ("ID", "PRODUCT_ID", "VERSION"),
    "MAKERS": ("ID", "VERSION"),
}
RELATIONS = {
    "LINES": (Relation("product", "products", from_field="product_id"),),
    "PRODUCTS": (
        Relation("stocks", "stocks", by="product_id"),
        Relation("maker", "makers", from_field="maker_id"),
    ),
    "STOCKS": (Relation("product", "products", from_field="product_id"),),
    "MAKERS": (),
}
State = dict[str, dict[str, tuple[str, ...]]]
"""Table -> id -> row."""


@dataclass
class VersionedErp:
    """A Reader over the newest of its states. `now`: the clock of everything.

    pauses: turns of the event loop before and after a query sees its state, by query; the last one
    goes on for ever.
    """

    max_keys: int = 1000
    now: float = 100.0
    poison: frozenset[str] = frozenset()
    away: bool = False
    pauses: list[tuple[int, int]] = field(default_factory=lambda: [(0, 0)])
    states: list[tuple[float, State]] = field(default_factory=list)
    queries: list[Ask] = field(default_factory=list)
    answered: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    closed: bool = False
    visibility: Visibility | None = None
    features: ReaderFeatures = field(default_factory=ReaderFeatures)

    def __post_init__(self) -> None:
        self.states.append((self.now, {table: {} for table in COLUMNS}))

    def write(self, table: str, *rows: tuple[str, ...] | str) -> None:
        """Whole rows without their version, or ids of rows to delete; one transaction."""
        self.now += 0.001
        state = {name: dict(stored) for name, stored in self.states[-1][1].items()}
        for row in rows:
            if isinstance(row, str):
                state[table].pop(row, None)
            else:
                state[table][row[0]] = (*row, str(len(self.states)))
        self.states.append((self.now, state))

    def states_between(self, first: float, last: float) -> list[State]:
        """Every state that was the newest at some time between these, both included."""
        begun = [index for index, (since, _) in enumerate(self.states) if since <= first]
        return [
            state
            for index, (since, state) in enumerate(self.states)
            if index >= begun[-1] and since <= last
        ]

    async def fetch(self, ask: Ask) -> Rows:
        self.queries.append(ask)
        before, after = self.pauses.pop(0) if len(self.pauses) > 1 else self.pauses[0]
        for _ in range(before):
            await asyncio.sleep(0)
        if self.away:
            raise RetryLater("the system is away")
        if any(value in self.poison for key in ask.keys for value in key):
            raise Rejected("bad_key", "one of the keys can't be asked for")
        rows = matching(self.states[-1][1], ask.table, ask.columns, ask.keys)
        for _ in range(after):
            await asyncio.sleep(0)
        self.answered += [(ask.table, row) for row in rows]
        return Rows(shape_of(ask.table, COLUMNS[ask.table]), list(rows), self.visibility)

    async def close(self) -> None:
        self.closed = True


def matching(
    state: State, table: str, columns: Sequence[str], keys: Sequence[tuple[Any, ...]]
) -> list[tuple[str, ...]]:
    """Rows of a state whose columns hold one of the keys."""
    indexes = [COLUMNS[table].index(column) for column in columns]
    wanted = set(keys)
    return [
        row for row in state[table].values() if tuple(row[index] for index in indexes) in wanted
    ]


class PeerHarness:
    """A gateway over the ERP, and the causes of its reads."""

    def __init__(self, erp: VersionedErp) -> None:
        self.erp = erp
        self.notices: list[Notice] = []
        self.gateway = Gateway(
            "erp",
            erp,
            {
                table.lower(): PaddedTable(
                    table.lower(),
                    table,
                    columns,
                    ("id",),
                    relations=RELATIONS[table],
                    padded=("none",),
                )
                for table, columns in COLUMNS.items()
            },
            SystemLimits(),
            observer=self.notices.append,
            monotonic=lambda: erp.now,
        )
        self.peers: Peers = self.gateway.peers

    def demands(self, reader: str = "agent", **event: Any) -> ReadDemands:
        """Of an attempt that begins now."""
        return ReadDemands(cause=ReadCause(reader, known_at=self.erp.now, **event))

    @property
    def counts(self) -> list[tuple[str, int]]:
        """Each query's table and number of keys."""
        return [(ask.table, len(ask.keys)) for ask in self.erp.queries]


def filled(lines: int, *, orders: int = 1, **options: Any) -> VersionedErp:
    """So many lines an order, each of a product of its own with two stocks and one of two makers."""
    erp = VersionedErp(**options)
    numbers = range(orders * lines)
    erp.write("LINES", *((f"l{n}", f"o{n // lines}", f"p{n}") for n in numbers))
    erp.write("PRODUCTS", *((f"p{n}", f"m{n % 2}") for n in numbers))
    erp.write("STOCKS", *((f"s{n}{half}", f"p{n}") for n in numbers for half in "ab"))
    erp.write("MAKERS", ("m0",), ("m1",))
    return erp
