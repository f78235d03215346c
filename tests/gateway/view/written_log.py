"""A log as capture writes it, with an oracle: what the view of it holds at each checkpoint."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bridge.capture.barriers import record as barrier_record
from bridge.capture.checkpoint import codec
from bridge.capture.checkpoint.record import CheckpointRecord
from bridge.capture.report import status_record
from bridge.gateway.copy.applied_log import CaptureRecords
from bridge.gateway.copy.contract import EntityClaim
from bridge.gateway.view.contract import NotHeld
from bridge.gateway.view.system_view import SystemView
from bridge.gateway.view.view_parts import ViewParts
from bridge.log.embedded import EmbeddedLog
from bridge.log.port import Entry
from bridge.log.topic_specs import internal_topic_specs, public_topic_specs
from bridge.model.framing import header
from bridge.model.names import change_topic, internal_topic, system_topic
from bridge.model.position import MAX_NUMBER, format_position
from bridge.model.system_records import DeadLetter
from tests.gateway.view.change_records import (
    CUSTOMER,
    ENTITIES,
    EXACT,
    ORDER,
    change_value,
    order_key,
    text_of,
)
from tests.waiting import until

HISTORY_MS = 30 * 24 * 3600 * 1000
SCHEMA_IDS = {"order": 1, "customer": 2}
TEXTS = {1: text_of(ORDER), 2: text_of(CUSTOMER)}
KEY_HEADER = header(9)
CAPTURE = CaptureRecords(
    checkpoint=lambda value: codec.load(value, "erp"),
    barrier_key=barrier_record.barrier_key("erp"),
    barrier=lambda value: barrier_record.load(value, "erp"),
    troubles=lambda value: status_record.load(value).troubles,
)


class CountedTexts:
    """A registry of these texts; `reads` counts."""

    def __init__(self) -> None:
        self.reads = 0

    async def schema(self, schema_id: int) -> str:
        self.reads += 1
        return TEXTS[schema_id]


class NumberedLetters:
    """Dead letters by number, which is what stands in the log."""

    def __init__(self) -> None:
        self.letters: list[DeadLetter] = []

    async def decode(self, topic_kind: str, value: bytes) -> DeadLetter:
        assert topic_kind == "dead"
        return self.letters[int(value)]


class GivenProofs:
    """What the copy of the system would have proved."""

    def __init__(self) -> None:
        self.claims = {name: EntityClaim() for name in ENTITIES}

    def entity_claim(self, entity: str) -> EntityClaim:
        return self.claims[entity]

    async def wait(self, entity: str, until: float) -> None:
        del entity, until
        await asyncio.sleep(0)


Change = tuple[str, int, Mapping[str, Any] | None]
"""Entity, key, and the row; None: it is deleted."""


@dataclass
class WrittenLog:
    """The log of a bridge `b` with a system `erp`. rows: of the source, by entity and key, now."""

    log: EmbeddedLog
    folder: Path
    registry: CountedTexts = field(default_factory=CountedTexts)
    letters: NumberedLetters = field(default_factory=NumberedLetters)
    proofs: GivenProofs = field(default_factory=GivenProofs)
    rows: dict[str, dict[int, Any]] = field(default_factory=lambda: {name: {} for name in ENTITIES})
    at: dict[str, dict[str, dict[int, Any]]] = field(default_factory=dict)
    commit: int = 0
    checkpoint: CheckpointRecord = field(default_factory=CheckpointRecord)
    reports: list[str] = field(default_factory=list)

    def parts(self, **changes: Any) -> ViewParts:
        parts = ViewParts(
            log=self.log,
            registry=self.registry,  # type: ignore[arg-type]
            codec=self.letters,  # type: ignore[arg-type]
            bridge="b",
            system="erp",
            entities=ENTITIES,
            entity_now=ENTITIES.__getitem__,
            exact_fields=EXACT,
            path=self.folder / "views" / "b.erp.view",
            max_bytes=1 << 30,
            history_ms=HISTORY_MS,
            capture=CAPTURE,
            proofs=self.proofs,
            report=lambda _, reason: self.reports.append(reason),
            report_record=self.reports.append,
        )
        return replace(parts, **changes)

    async def write(
        self,
        *changes: Change,
        missing: Mapping[int, Sequence[str]] | None = None,
        ends: bool = True,
        values: Sequence[tuple[str, int, bytes]] = (),
        checkpoint: Mapping[str, Any] | None = None,
        same_commit: bool = False,
    ) -> str:
        """One source transaction; its position.

        missing: by key, fields that aren't sent. ends: whether the transaction ends with it.
        values: other records. checkpoint: what else changes in it.
        """
        self.commit += not same_commit
        entries: dict[str, list[Entry]] = {}
        for number, (entity, key, row) in enumerate(changes):
            absent = (missing or {}).get(key, ())
            value = change_value(
                row,
                op="delete" if row is None else "update",
                commit=self.commit,
                number=2 * number + (1000 if same_commit else 0),
                missing=absent,
                entity=ENTITIES[entity],
                schema=SCHEMA_IDS[entity],
            )
            self._add(entries, entity, key, value)
            if row is None:
                self.rows[entity].pop(key, None)
                self._add(entries, entity, key, None)
            else:
                self.rows[entity][key] = dict(row)
        for entity, key, value in values:
            self._add(entries, entity, key, value)
        number = MAX_NUMBER if ends else 2 * len(changes)
        position = format_position(0, self.commit, number)
        self.checkpoint = replace(self.checkpoint, position=position, **(checkpoint or {}))
        positions = internal_topic("b", "positions")
        entries[positions] = [Entry(b"erp", codec.dump(self.checkpoint))]
        producer = await self.log.producer("capture")
        async with producer.transaction() as transaction:
            for topic, records in entries.items():
                await transaction.append(topic, records)
        await producer.close()
        self.at[position] = {name: dict(rows) for name, rows in self.rows.items()}
        return position

    def _add(
        self, entries: dict[str, list[Entry]], entity: str, key: int, value: bytes | None
    ) -> None:
        framed = KEY_HEADER + order_key(key, ENTITIES[entity])
        entries.setdefault(change_topic("b", "erp", entity), []).append(Entry(framed, value))

    async def dead_letter(self, key: int | None, position: str, entity: str = "order") -> None:
        """A change of this key could not be written."""
        framed = None if key is None else KEY_HEADER + order_key(key, ENTITIES[entity])
        at = datetime(2026, 1, 1, tzinfo=UTC)
        letter = DeadLetter("row", f"erp.{entity}", "bad", at, position=position, key=framed)
        self.letters.letters.append(letter)
        value = str(len(self.letters.letters) - 1).encode()
        await self.log.append(system_topic("b", "dead"), [Entry(b"erp", value)])

    async def finish_snapshots(self) -> str:
        """First snapshots of all entities are complete."""
        taken = dict.fromkeys(ENTITIES, format_position(0, self.commit, MAX_NUMBER))
        return await self.write(checkpoint={"taken": taken})

    @asynccontextmanager
    async def view(self, **changes: Any) -> AsyncIterator[SystemView]:
        """A view that runs."""
        view = SystemView(self.parts(**changes))
        running = asyncio.create_task(view.run())
        try:
            yield view
            assert not running.done(), running.exception()
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


@asynccontextmanager
async def written_log(folder: Path, *, partitions: int = 2) -> AsyncIterator[WrittenLog]:
    """An empty log with all topics."""
    log = EmbeddedLog(folder / "log.db", partitions=partitions)
    await log.open()
    qualified = [entity.qualified for entity in ENTITIES.values()]
    await log.create_topics(
        [
            *public_topic_specs("b", qualified, HISTORY_MS),
            *internal_topic_specs("b", embedded_registry=False, remembers_ids=False),
        ]
    )
    try:
        yield WrittenLog(log, folder)
    finally:
        await log.close()


async def reaches(view: SystemView, position: str, entity: str = "order") -> None:
    """Wait until the view claims everything up to a position."""

    def is_reached() -> bool:
        claim = view.claim(entity)
        return claim is not None and claim.position >= position

    await until(is_reached, describe=view.status)


def held(view: SystemView, numbers: range, entity: str = "order") -> dict[int, Any]:
    """The rows of a view by key; `"?"` where the legacy system has to be asked."""
    rows: dict[int, Any] = {}
    for number in numbers:
        try:
            row = view.get(entity, order_key(number, ENTITIES[entity]))
        except NotHeld:
            rows[number] = "?"
        else:
            if row is not None:
                rows[number] = row.as_dict()
    return rows
