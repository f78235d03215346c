"""A legacy system with transactions in memory, and a copy of it that lags as a test says."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import Any

from bridge.connector import Ask, Column, ReaderFeatures, Rows, Shape
from bridge.gateway import Gateway
from bridge.gateway.audit.change_watches import ChangeWatches
from bridge.gateway.audit.verdict import ChangeSince
from bridge.gateway.cache.cache_state import CacheState
from bridge.gateway.cache.change_effect import EntityChange
from bridge.gateway.cache.entry import Fill, RowEntry, Scope
from bridge.gateway.copy.contract import CopyStatus, EntityClaim
from bridge.gateway.copy.row_forms import RowForms
from bridge.model.freshness import Freshness
from bridge.model.position import format_position
from bridge.model.read_demands import ReadCause, ReadDemands
from bridge.model.specs import CacheSpec, EntitySpec, SystemLimits
from bridge.model.types import FieldType, Relation
from bridge.plan.entity_table import EntityTable
from bridge.plan.entity_type import entity_type
from bridge.plan.steps import Wire

INTEGER, TEXT = FieldType("integer"), FieldType("string")
COLUMNS: Mapping[str, tuple[Column, ...]] = {
    "orders": (
        Column("id", "int", INTEGER, "python", key=True),
        Column("customer", "int", INTEGER, "python"),
        Column("note", "text", TEXT, "python", exact_text=True),
    ),
    "customers": (
        Column("id", "int", INTEGER, "python", key=True),
        Column("name", "text", TEXT, "python"),
    ),
    "logins": (Column("name", "text", TEXT, "python", key=True),),
}
SHAPES = {name: Shape(name, columns, Wire.PYTHON) for name, columns in COLUMNS.items()}
SPECS = {
    "order": EntitySpec(
        "erp",
        "order",
        "orders",
        key=("id",),
        relations=(Relation("buyer", "customer", from_field="customer"),),
    ),
    "customer": EntitySpec(
        "erp",
        "customer",
        "customers",
        key=("id",),
        relations=(Relation("orders", "order", by="customer"),),
    ),
    "login": EntitySpec("erp", "login", "logins", key=("name",)),
}
TABLE_ENTITIES = {spec.table: name for name, spec in SPECS.items()}


@dataclass(frozen=True)
class ShownUpTo:
    """A read's snapshot: transactions up to a number. in_recovery: of a standby."""

    last: int
    in_recovery: bool = False

    def contains(self, transaction: int) -> bool:
        return transaction <= self.last

    def unseen(self) -> Iterable[int]:
        return ()


@dataclass
class CopiedErp:
    """Tables with their history; implements Reader.

    visible: how many transactions reads show; None: all, as after `shows_after` queries.
    gate: holds queries back after they have read.
    queries: table and keys of each.
    """

    reports_visibility: bool = True
    visible: int | None = None
    shows_after: int = 10**9
    in_recovery: bool = False
    gate: asyncio.Event | None = None
    error: Exception | None = None
    max_keys: int = 1000
    features: ReaderFeatures = field(default_factory=ReaderFeatures)
    history: list[tuple[str, Any, tuple[Any, ...] | None]] = field(default_factory=list)
    queries: list[tuple[str, tuple[Any, ...]]] = field(default_factory=list)

    def write(self, table: str, key: Any, *values: Any) -> int:
        """Commit a row, without values its delete; the transaction's number."""
        self.history.append((table, key, (key, *values) if values or table == "logins" else None))
        return len(self.history)

    def delete(self, table: str, key: Any) -> int:
        self.history.append((table, key, None))
        return len(self.history)

    def rows(self, table: str, last: int) -> list[tuple[Any, ...]]:
        rows = {key: row for name, key, row in self.history[:last] if name == table}
        return [row for row in rows.values() if row is not None]

    async def fetch(self, ask: Ask) -> Rows:
        if len(self.queries) >= self.shows_after:
            self.visible = None
        self.queries.append((ask.table, tuple(ask.keys)))
        last = len(self.history) if self.visible is None else self.visible
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        shape = SHAPES[ask.table]
        names = [column.name for column in shape.columns]
        at = [names.index(column) for column in ask.columns]
        rows = [
            row
            for row in self.rows(ask.table, last)
            if not at or tuple(row[index] for index in at) in set(ask.keys)
        ]
        if self.gate is not None:
            await self.gate.wait()
        visibility = ShownUpTo(last, self.in_recovery) if self.reports_visibility else None
        return Rows(shape, rows[: ask.limit], visibility, "server")

    async def close(self) -> None:
        return None


def position(transaction: int) -> str:
    return format_position(1, transaction, 0)


class LaggingCopy:
    """Implements SystemCopy over the real cache; `apply` and `prove` make it follow.

    barriers: whether `wait` catches up and proves; else it waits until its time is over.
    waits: entity and time of each `wait`.
    """

    system = "erp"

    def __init__(self, erp: CopiedErp, entities: Collection[str] = tuple(SPECS)) -> None:
        self.erp = erp
        self.entities = frozenset(entities)
        self.scope = Scope("", "capture")
        self.cache = CacheState(
            self.scope, reports_visibility=erp.reports_visibility, allowance=0.0, server="server"
        )
        self.rows = RowForms(self.cache.epoch)
        self.watches = ChangeWatches()
        self.has_barriers = True
        self.barriers = True
        self.probe: Callable[[], Awaitable[object]] | None = None
        self.doubts: set[str] = set()
        self.doubtful: set[bytes] = set()
        self.waits: list[tuple[str, float]] = []
        self.applied = 0
        self.tables = tables()
        self._claim = Freshness("erp", 1)
        self.cache.freshness = {}

    def follow(self) -> None:
        """Apply everything, and prove it as of now."""
        now = monotonic()
        self.apply(len(self.erp.history))
        self.prove(now)

    def apply(self, last: int) -> None:
        """Apply the changes up to that transaction."""
        for number in range(self.applied + 1, last + 1):
            table, key, raw = self.erp.history[number - 1]
            mapping = self.tables[TABLE_ENTITIES[table]]
            after = None if raw is None else mapping.row(SHAPES[table], raw)
            stored = mapping.stored_key((key,), (key,))
            assert stored is not None
            payload = None
            if after is not None:
                payload = self.rows.header(mapping.entity) + after.avro_bytes()
            fields = None if after is None else after.as_dict()
            change = EntityChange(
                mapping.entity.name, stored, payload, fields, number, captured_at=monotonic()
            )
            self.cache.apply(change)
            since = ChangeSince(payload, True, position(number), None)
            self.watches.note(change.entity, stored, since)
        self.applied = max(self.applied, last)

    def prove(self, as_of: float) -> None:
        """Claim what was applied."""
        self._claim = Freshness("erp", 1, position(self.applied), as_of)
        self.cache.freshness = dict.fromkeys(self.entities - self.doubts, self._claim)

    def held(self, entity: str, key: Any) -> RowEntry:
        """What is held of a row."""
        stored = self.tables[entity].stored_key((key,), (key,))
        assert stored is not None
        entry = self.cache.get(self.scope, entity, stored)
        assert entry is not None
        assert isinstance(entry.origin, Fill)
        return RowEntry(entry.key, entry.payload, entry.origin)

    def hold(self, entry: RowEntry) -> None:
        """Hold it in place of what is held, as no answer would be."""
        self.cache._held.put(entry)

    def entity_claim(self, entity: str) -> EntityClaim:
        claim = EntityClaim()
        claim.claim, claim.doubtful = self.claim(entity), self.doubtful
        return claim

    def claim(self, entity: str, key: bytes | None = None) -> Freshness | None:
        if entity not in self.entities:
            raise KeyError(entity)
        return None if entity in self.doubts or key in self.doubtful else self._claim

    def claim_of_list(self, entity: str) -> Freshness | None:
        return None if self.doubtful else self.claim(entity)

    async def wait(self, entity: str, until: float) -> None:
        self.waits.append((entity, until))
        if self.barriers:
            await asyncio.sleep(0)
            self.follow()
        else:
            await asyncio.sleep(max(0.0, until - monotonic()) + 0.001)

    def note_server(self, server: str) -> None:
        if server != self.cache.server:
            self.cache.reset(server)

    def reasons(self, entity: str, key: bytes | None = None) -> tuple[str, ...]:
        return ("in doubt",) if self.claim(entity, key) is None else ()

    def status(self, now: float) -> CopyStatus:
        return CopyStatus({}, {}, {}, (), 0, 0, 0, 0, (0, 0), 0)


def tables(cache: CacheSpec = CacheSpec()) -> dict[str, EntityTable]:  # noqa: B008 - immutable
    specs = {name: replace(spec, cache=cache) for name, spec in SPECS.items()}
    return {
        name: EntityTable(spec, entity_type(spec, SHAPES[spec.table]), SHAPES[spec.table])
        for name, spec in specs.items()
    }


def erp_gateway(
    erp: CopiedErp,
    copy: LaggingCopy | None,
    *,
    cache: CacheSpec = CacheSpec(),  # noqa: B008 - immutable
    **more: Any,
) -> Gateway:
    return Gateway("erp", erp, tables(cache), SystemLimits(connections=2), copy=copy, **more)


def on_behalf(
    transaction: int | None = None,
    reader: str = "agent",
    *,
    at: int | None = None,
    **demands: Any,
) -> ReadDemands:
    """Of a handler of the event of that transaction (`at`: of a snapshot's row at its position)."""
    if transaction is None and at is None:
        cause = ReadCause(reader, "handler", "e", "erp", "", None, monotonic())
    else:
        number = transaction if transaction is not None else at or 0
        text = None if transaction is None else str(transaction)
        cause = ReadCause(reader, "handler", "e", "erp", position(number), text, monotonic())
    return ReadDemands(**demands, cause=cause)


def tables_read(erp: CopiedErp) -> Sequence[str]:
    return [table for table, _ in erp.queries]
