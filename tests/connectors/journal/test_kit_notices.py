"""The acceptance suite fails for connectors that are broken in the ways that matter."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest

from bridge.connector import (
    Ask,
    Batch,
    Capabilities,
    Chunk,
    Done,
    Effect,
    Reader,
    Rows,
    Snapshot,
    Source,
    System,
    Watermark,
    Writer,
)
from bridge.kit.connector import ConnectorSuite, SqlLegacy, TypeCase
from bridge.kit.connector.legacy import KEY, Create, Delete
from bridge.kit.connector.random_load import order
from bridge.kit.connector.records import RecordDecoder
from bridge.model.errors import HistoryLost, RowError
from connectors.journal import JournalConnector
from connectors.journal.dialects.choose import dialect_for
from connectors.journal.source import JournalSource
from connectors.sql.read.reader import SqlReader
from connectors.sql.read.snapshot import SqlSnapshot
from connectors.sql.write import ledger
from connectors.sql.write.writer import SqlWriter
from tests.connectors.journal.unledgered import Unledgered, UnledgeredWriter


def source_of(source_class: type[JournalSource]) -> Callable[[JournalConnector], JournalConnector]:
    class BrokenSourceConnector(JournalConnector):
        async def source(self, system: System) -> Source:
            return source_class(system, dialect_for(system), purge_after_seconds=0)

    return lambda _: BrokenSourceConnector()


class Loses(JournalSource):
    async def read(self, limit: int, timeout: float) -> Batch:
        batch = await super().read(limit, timeout)
        del batch.changes[4::5]
        return batch


class Repeats(JournalSource):
    async def open(self, after: bytes | None) -> bytes:
        begun = await super().open(after)
        self._position, self._fingerprint = (max(0, self._position[0] - 1),), ""
        return begun


class Skips(JournalSource):
    async def open(self, after: bytes | None) -> bytes:
        begun = await super().open(after)
        if after is not None:
            self._position = (self._position[0] + 1,)
        return begun


class Uncertain(JournalSource):
    async def read(self, limit: int, timeout: float) -> Batch:
        batch = await super().read(limit, timeout)
        batch.changes = [
            change
            if change.new is None
            else change._replace(new=tuple(item or "" for item in change.new))
            for change in batch.changes
        ]
        return batch


class OldIsNew(JournalSource):
    async def read(self, limit: int, timeout: float) -> Batch:
        batch = await super().read(limit, timeout)
        batch.changes = [
            change._replace(old=change.new) if change.old and change.new else change
            for change in batch.changes
        ]
        return batch


class MarksEarly(JournalSource):
    async def read(self, limit: int, timeout: float) -> Batch:
        batch = await super().read(limit, timeout)
        batch.watermarks = [
            Watermark(0, watermark.name, watermark.commit) for watermark in batch.watermarks
        ]
        return batch


class ForgetsAll(JournalSource):
    async def ack(self, upto: bytes) -> None:
        await super().ack(upto)

        def act(connection: Any) -> None:
            with connection.begin():
                connection.exec_driver_sql("DELETE FROM bridge_journal")

        await self._write(act)


class Deaf(JournalSource):
    async def read(self, limit: int, timeout: float) -> Batch:
        return await super().read(limit, min(timeout, 0.01))


class SkipsAtBorders(JournalConnector):
    async def snapshot(self, system: System) -> Snapshot:
        class BorderSkippingSnapshot(SqlSnapshot):
            async def chunk(
                self, table: str, where: Any, after: list[Any] | None, limit: int
            ) -> Chunk:
                chunk = await super().chunk(table, where, after, limit)
                return replace(chunk, rows=chunk.rows[:-1]) if chunk.last else chunk

        return BorderSkippingSnapshot(system, dialect_for(system).sql)


class ReadsThePast(JournalConnector):
    """A snapshot that sees an old state and doesn't say so.

    One of the rows goes by `forget` once that state was read, so that it is old on any machine.
    """

    async def forget(self) -> None:
        """Delete a row that the state holds; set once the legacy system is there."""
        raise NotImplementedError

    async def snapshot(self, system: System) -> Snapshot:
        forget = self.forget

        class ReadsThePastSnapshot(SqlSnapshot):
            past: Chunk | None = None

            async def chunk(
                self, table: str, where: Any, after: list[Any] | None, limit: int
            ) -> Chunk:
                if self.past is None:
                    self.past = await super().chunk(table, where, after, 10_000)
                    await forget()
                records = self.past.rows
                at = 0 if after is None else int(after[0])
                rows = records[at : at + limit]
                last = [str(at + limit)] if at + limit < len(records) else None
                return Chunk(self.past.shape, rows, last)

        return ReadsThePastSnapshot(system, dialect_for(system).sql)


class ForgetsKeys(JournalConnector):
    async def reader(self, system: System) -> Reader:
        class KeyForgettingReader(SqlReader):
            async def fetch(self, ask: Ask) -> Rows:
                keys = ask.keys[: max(1, len(ask.keys) - 2)]
                return await super().fetch(ask._replace(keys=keys))

        return KeyForgettingReader(system, dialect_for(system).sql)


class HasNoLedger(JournalConnector):
    async def writer(self, system: System) -> Writer:
        class LedgerlessWriter(SqlWriter):
            async def execute(self, effects: Any) -> list[Done | Exception]:
                all_effects: list[Effect] = list(effects)

                def forget(connection: Any) -> None:
                    with connection.begin():
                        ledger.release(connection, [effect.command_id for effect in all_effects])

                await self._threads.run(forget)
                return await super().execute(effects)

        return LedgerlessWriter(system, dialect_for(system).sql)


class OffersMoreThanItDeclares(JournalConnector):
    def capabilities(self) -> Capabilities:
        return replace(super().capabilities(), snapshot=False)


@pytest.fixture
def legacy(tmp_path: Path) -> Iterator[SqlLegacy]:
    path = tmp_path / "erp.db"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    connection.close()
    types = [TypeCase("INTEGER", "1", "integer", 1)]
    sql_legacy = SqlLegacy("connectors.journal:connector", f"sqlite:///{path}", types=types)
    sql_legacy.start()
    yield sql_legacy
    sql_legacy.close()


class LetsAnybodyAct(JournalConnector):
    async def writer(self, system: System) -> Writer:
        class UnfencedWriter(SqlWriter):
            async def execute(self, effects: Any) -> list[Done | Exception]:
                return await super().execute([replace(effect, partition="") for effect in effects])

        return UnfencedWriter(system, dialect_for(system).sql)


class ActsTooLate(Unledgered):
    async def writer(self, system: System) -> Writer:
        class LateWriter(UnledgeredWriter):
            async def execute(self, effects: Sequence[Effect]) -> list[Done | Exception]:
                return await super().execute([replace(effect, begin=None) for effect in effects])

        return LateWriter(system)


class HidesItsLedger(JournalConnector):
    def capabilities(self) -> Capabilities:
        return replace(super().capabilities(), ledger=False)


class Imagines(Unledgered):
    async def writer(self, system: System) -> Writer:
        class ImaginingWriter(UnledgeredWriter):
            async def probe(self, effect: Effect) -> Done | None:
                return Done(1)

        return ImaginingWriter(system)


class Overlooks(Unledgered):
    async def writer(self, system: System) -> Writer:
        class OverlookingWriter(UnledgeredWriter):
            async def probe(self, effect: Effect) -> Done | None:
                return None

        return OverlookingWriter(system)


Check = Callable[[ConnectorSuite, SqlLegacy, Capabilities], Awaitable[None]]


async def records_of(legacy: SqlLegacy) -> RecordDecoder:
    return RecordDecoder((await legacy.connector.describe(legacy.system()))[legacy.table])


async def past(suite: ConnectorSuite, legacy: SqlLegacy, _: Capabilities) -> None:
    # Read last, and no key of the load's.
    gone = order(999_999)
    legacy.apply(Create(gone))
    broken = cast("ReadsThePast", legacy.connector)
    forget = partial(asyncio.to_thread, legacy.apply, Delete(gone[KEY]))
    broken.forget = forget  # type: ignore[method-assign]
    await suite.test_a_snapshot_while_changes_go_on_ends_equal_to_the_table(legacy, 11)


async def chunks(suite: ConnectorSuite, legacy: SqlLegacy, _: Capabilities) -> None:
    await suite.test_chunks_of_any_size_give_every_row_once_in_key_order(
        legacy, await records_of(legacy)
    )


Writing = Callable[[ConnectorSuite, SqlLegacy, Any, Capabilities], Awaitable[None]]


def writing(check: Writing) -> Check:
    """A check with the connector's writer, as the suite's fixtures hand it in."""

    async def act(suite: ConnectorSuite, legacy: SqlLegacy, can: Capabilities) -> None:
        writer = await legacy.connector.writer(legacy.system())
        try:
            await check(suite, legacy, writer, can)
        finally:
            await writer.close()

    return act


async def probing(
    suite: ConnectorSuite, legacy: SqlLegacy, writer: Writer, _: Capabilities
) -> None:
    await suite.test_without_a_ledger_a_probe_tells_what_has_happened_and_what_has_not(
        legacy, writer
    )


CASES: list[tuple[Any, Check]] = [
    (source_of(Loses), lambda s, x, c: s.test_a_history_rebuilds_the_table_step_by_step(x, c)),
    (source_of(OldIsNew), lambda s, x, c: s.test_a_history_rebuilds_the_table_step_by_step(x, c)),
    (
        source_of(Repeats),
        lambda s, x, _: s.test_a_source_goes_on_behind_any_batch_that_it_returned(x),
    ),
    (
        source_of(Skips),
        lambda s, x, _: s.test_a_source_goes_on_behind_any_batch_that_it_returned(x),
    ),
    (source_of(Uncertain), lambda s, x, _: s.test_nulls_come_and_go(x)),
    (
        source_of(MarksEarly),
        lambda s, x, _: s.test_watermarks_come_back_once_and_between_the_changes_around_them(x),
    ),
    (
        source_of(ForgetsAll),
        lambda s, x, _: s.test_what_is_acknowledged_may_go_and_nothing_else_does(x),
    ),
    (
        source_of(Deaf),
        lambda s, x, c: s.test_an_idle_read_waits_as_long_as_it_was_told_and_brings_nothing(x, c),
    ),
    (lambda _: SkipsAtBorders(), chunks),
    (lambda _: ReadsThePast(), past),
    (lambda _: ForgetsKeys(), lambda s, x, _: s.test_batched_lookups_equal_single_ones(x)),
    (
        lambda _: HasNoLedger(),
        writing(
            lambda s, x, w, _: s.test_a_command_takes_effect_once_also_for_another_writer(x, w)
        ),
    ),
    (
        lambda _: LetsAnybodyAct(),
        writing(lambda s, x, w, _: s.test_a_partition_s_former_owner_does_not_act_any_more(x, w)),
    ),
    (
        lambda _: HidesItsLedger(),
        writing(
            lambda s, _, w, c: s.test_a_writer_keeps_a_ledger_where_its_connector_says_so(w, c)
        ),
    ),
    (
        lambda _: ActsTooLate(),
        writing(lambda s, x, w, _: s.test_what_may_not_begin_any_more_is_not_carried_out(x, w)),
    ),
    (lambda _: Imagines(), writing(probing)),
    (lambda _: Overlooks(), writing(probing)),
    (
        lambda _: OffersMoreThanItDeclares(),
        lambda s, x, _: s.test_what_is_not_declared_is_refused(x),
    ),
]


NAMES = [
    "loses changes",
    "old rows are new ones",
    "repeats after a resume",
    "skips after a resume",
    "nulls become empty",
    "watermarks come early",
    "forgets what was not acknowledged",
    "does not wait",
    "chunks lose their last row",
    "snapshots see the past",
    "lookups forget keys",
    "no ledger",
    "lets anybody act",
    "hides its ledger",
    "acts too late",
    "imagines effects",
    "overlooks effects",
    "offers more than it declares",
]


@pytest.mark.parametrize(("breaks", "check"), CASES, ids=NAMES)
async def test_a_broken_connector_fails_where_the_intact_one_passes(
    legacy: SqlLegacy,
    breaks: Callable[[JournalConnector], JournalConnector],
    check: Check,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # What never comes is waited for less long than a slow connector is given.
    monkeypatch.setattr("bridge.kit.connector.stream.WAIT_TIMEOUT_S", 3.0)
    intact = legacy.connector
    assert isinstance(intact, JournalConnector)
    await intact.setup(legacy.system())
    legacy.connector = breaks(intact)
    with pytest.raises((AssertionError, HistoryLost, RowError, pytest.fail.Exception)):
        await check(ConnectorSuite(), legacy, legacy.connector.capabilities())
