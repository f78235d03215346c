"""Describing, checking, setting up; missing tables; truncating; types."""

from __future__ import annotations

import pytest

from bridge.connector import Ask
from bridge.kit.connector.base import ConnectorTests, assert_refused, needs
from bridge.kit.connector.legacy import COLUMNS, Create, LegacySystem, TruncateTable
from bridge.kit.connector.open_source import open_source
from bridge.kit.connector.random_load import order
from bridge.kit.connector.records import Record, RecordDecoder
from bridge.kit.connector.stream import RecordedStream, streaming
from bridge.model.errors import BridgeError, ConfigurationError

TYPES_TABLE = "kit_types"


class SetupTests(ConnectorTests):
    """The connector itself."""

    async def test_the_class_says_what_its_connector_declares(self, fresh: LegacySystem) -> None:
        """By it the suite's tests are chosen."""
        assert fresh.connector.capabilities() == self.connector.capabilities()
        assert fresh.limitations == self.limitations

    async def test_the_catalogue_s_columns_and_key_are_described(
        self, legacy: LegacySystem
    ) -> None:
        shape = (await legacy.connector.describe(legacy.system()))[legacy.table]
        assert shape.table == legacy.table
        # A system may have columns of its own in each table: a change time, a number as the key.
        assert {*COLUMNS, legacy.key} <= {column.name for column in shape.columns}
        assert [column.name for column in shape.columns if column.key] == [legacy.key]
        kinds = {column.name: str(column.type) for column in shape.columns}
        assert kinds["qty"] == "integer"
        assert kinds["price"] == "decimal(15,2)"
        assert kinds["customer"] == "string"

    async def test_set_up_leaves_nothing_to_do_and_can_be_repeated(
        self, legacy: LegacySystem
    ) -> None:
        findings = await legacy.connector.check(legacy.system())
        assert [finding for finding in findings if finding.fatal] == []
        await legacy.connector.setup(legacy.system())
        findings = await legacy.connector.check(legacy.system())
        assert [finding for finding in findings if finding.fatal] == []

    async def test_what_set_up_would_run_can_be_read(self, fresh: LegacySystem) -> None:
        fresh.start()
        statements = fresh.connector.setup_sql(fresh.system())
        assert all(statement.strip() for statement in statements)

    async def test_before_set_up_check_says_what_is_missing_and_what_makes_it(
        self, fresh: LegacySystem
    ) -> None:
        fresh.start()
        if not fresh.connector.setup_sql(fresh.system()):
            return
        missing = [
            problem for problem in await fresh.connector.check(fresh.system()) if problem.create
        ]
        assert missing
        assert all(finding.fix for finding in missing)

    async def test_a_missing_table_is_named(self, legacy: LegacySystem) -> None:
        system = legacy.system("no_such_table")
        with pytest.raises(ConfigurationError, match="no_such_table"):
            await legacy.connector.describe(system)
        try:
            problems = [finding.what for finding in await legacy.connector.check(system)]
        except BridgeError as error:
            problems = [str(error)]
        assert any("no_such_table" in what for what in problems)

    async def test_what_is_not_declared_is_refused(self, legacy: LegacySystem) -> None:
        can = legacy.connector.capabilities()
        assert can.before in {"full", "none", "per_table"}
        assert can.capture or can.read or can.write
        assert can.capture or not (can.snapshot or can.truncate or can.markers)
        lacking = await assert_refused(legacy, "capture", "snapshot", "read", "write")
        assert all(not getattr(can, name) for name in lacking)

    @needs("truncate")
    async def test_a_truncate_is_told_in_its_place(self, legacy: LegacySystem) -> None:
        async with streaming(legacy) as stream:
            legacy.apply(Create(order(1)))
            legacy.apply(TruncateTable())
            legacy.apply(Create(order(2)))
            await stream.until(2)
            await stream.quiet()
        places = []
        changes_before = 0
        for batch in stream.batches:
            places += [
                (changes_before + truncate.at, truncate.tables) for truncate in batch.truncates
            ]
            changes_before += len(batch.changes)
        assert places == [(1, (legacy.table,))]

    async def test_values_of_every_type_are_the_same_in_events_snapshots_and_reads(
        self, fresh: LegacySystem
    ) -> None:
        cases = list(fresh.types)
        assert cases, "give at least one TypeCase"
        can = fresh.connector.capabilities()
        fresh.typed(TYPES_TABLE, cases)
        system = fresh.system(TYPES_TABLE)
        await fresh.connector.setup(system)
        shape = (await fresh.connector.describe(system))[TYPES_TABLE]
        records = RecordDecoder(shape)
        kinds = {
            column.name: str(column.type)
            for column in shape.columns
            if column.name in records.field_names
        }
        assert kinds == {"id": "integer"} | {f"c{at}": case.type for at, case in enumerate(cases)}
        wanted = {"id": 1} | {f"c{at}": case.value for at, case in enumerate(cases)}
        records_by_way: dict[str, Record] = {}
        if can.capture:
            source, begun = await open_source(fresh, system, None)
            stream = RecordedStream(source, records, begun)
            fresh.fill(TYPES_TABLE, cases)
            (step,) = await stream.until(1)
            await source.close()
            records_by_way["event"] = step.after or {}
        else:
            fresh.fill(TYPES_TABLE, cases)
        if can.snapshot:
            snapshot = await fresh.connector.snapshot(system)
            chunk = await snapshot.chunk(TYPES_TABLE, None, None, 10)
            await snapshot.close()
            records_by_way["snapshot"] = records.row(chunk.shape, chunk.rows[0])
        if can.read:
            reader = await fresh.connector.reader(system)
            rows = await reader.fetch(Ask(TYPES_TABLE, ("id",), [(1,)]))
            await reader.close()
            records_by_way["read"] = records.row(rows.shape, rows.rows[0])
        for way, record in records_by_way.items():
            differ = {
                f"{cases[int(name[1:])].native}: {cases[int(name[1:])].literal}": (
                    value,
                    wanted[name],
                )
                for name, value in record.items()
                if not same(value, wanted[name])
            }
            assert differ == {}, f"in the {way}: what came, what should"


def same(value: object, other: object) -> bool:
    """Equal and of one type; NaN equals itself."""
    return type(value) is type(other) and (value == other or (value != value and other != other))  # noqa: PLR0124
