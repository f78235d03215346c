"""Describing, checking, setting up; what isn't there; truncating; types."""

from __future__ import annotations

import pytest

from bridge.kit.connector.base import ConnectorTests, needs, refused
from bridge.kit.connector.legacy import COLUMNS, Create, Legacy, Truncate
from bridge.kit.connector.load import order
from bridge.kit.connector.opening import open_source
from bridge.kit.connector.records import Record, Records
from bridge.kit.connector.stream import Stream, streaming
from bridge.model.errors import BridgeError, ConfigurationError

TYPED = "kit_types"


class SetupTests(ConnectorTests):
    """The connector itself."""

    async def test_the_class_says_what_its_connector_declares(self, fresh: Legacy) -> None:
        """By it the suite's tests are chosen."""
        assert fresh.connector.capabilities() == self.connector.capabilities()
        assert fresh.lacks == self.lacks

    async def test_the_catalogue_s_columns_and_key_are_described(self, legacy: Legacy) -> None:
        shape = (await legacy.connector.describe(legacy.system()))[legacy.table]
        assert shape.table == legacy.table
        # A system may have columns of its own in each table: a change time, a number as the key.
        assert {*COLUMNS, legacy.key} <= {column.name for column in shape.columns}
        assert [column.name for column in shape.columns if column.key] == [legacy.key]
        kinds = {column.name: str(column.type) for column in shape.columns}
        assert kinds["qty"] == "integer"
        assert kinds["price"] == "decimal(15,2)"
        assert kinds["customer"] == "string"

    async def test_set_up_leaves_nothing_to_do_and_can_be_repeated(self, legacy: Legacy) -> None:
        found = await legacy.connector.check(legacy.system())
        assert [finding for finding in found if finding.fatal] == []
        await legacy.connector.setup(legacy.system())
        found = await legacy.connector.check(legacy.system())
        assert [finding for finding in found if finding.fatal] == []

    async def test_what_set_up_would_run_can_be_read(self, fresh: Legacy) -> None:
        fresh.start()
        shown = fresh.connector.setup_sql(fresh.system())
        assert all(statement.strip() for statement in shown)

    async def test_before_set_up_check_says_what_is_missing_and_what_makes_it(
        self, fresh: Legacy
    ) -> None:
        fresh.start()
        if not fresh.connector.setup_sql(fresh.system()):
            return
        missing = [one for one in await fresh.connector.check(fresh.system()) if one.create]
        assert missing
        assert all(finding.fix for finding in missing)

    async def test_a_missing_table_is_named(self, legacy: Legacy) -> None:
        system = legacy.system("no_such_table")
        with pytest.raises(ConfigurationError, match="no_such_table"):
            await legacy.connector.describe(system)
        try:
            found = [finding.what for finding in await legacy.connector.check(system)]
        except BridgeError as error:
            found = [str(error)]
        assert any("no_such_table" in what for what in found)

    async def test_what_is_not_declared_is_refused(self, legacy: Legacy) -> None:
        can = legacy.connector.capabilities()
        assert can.before in {"full", "none", "per_table"}
        assert can.capture or can.read or can.write
        assert can.capture or not (can.snapshot or can.truncate or can.markers)
        lacking = await refused(legacy, "capture", "snapshot", "read", "write")
        assert all(not getattr(can, name) for name in lacking)

    @needs("truncate")
    async def test_a_truncate_is_told_in_its_place(self, legacy: Legacy) -> None:
        async with streaming(legacy) as stream:
            legacy.apply(Create(order(1)))
            legacy.apply(Truncate())
            legacy.apply(Create(order(2)))
            await stream.until(2)
            await stream.quiet()
        places = []
        told = 0
        for batch in stream.batches:
            places += [(told + one.at, one.tables) for one in batch.truncates]
            told += len(batch.changes)
        assert places == [(1, (legacy.table,))]

    async def test_values_of_every_type_are_the_same_in_events_snapshots_and_reads(
        self, fresh: Legacy
    ) -> None:
        cases = list(fresh.types)
        assert cases, "give at least one TypeCase"
        can = fresh.connector.capabilities()
        fresh.typed(TYPED, cases)
        system = fresh.system(TYPED)
        await fresh.connector.setup(system)
        shape = (await fresh.connector.describe(system))[TYPED]
        records = Records(shape)
        kinds = {
            column.name: str(column.type)
            for column in shape.columns
            if column.name in records.shown
        }
        assert kinds == {"id": "integer"} | {f"c{at}": case.type for at, case in enumerate(cases)}
        wanted = {"id": 1} | {f"c{at}": case.value for at, case in enumerate(cases)}
        found: dict[str, Record] = {}
        if can.capture:
            source, begun = await open_source(fresh, system, None)
            stream = Stream(source, records, begun)
            fresh.fill(TYPED, cases)
            (step,) = await stream.until(1)
            await source.close()
            found["event"] = step.after or {}
        else:
            fresh.fill(TYPED, cases)
        if can.snapshot:
            snapshot = await fresh.connector.snapshot(system)
            chunk = await snapshot.chunk(TYPED, None, None, 10)
            await snapshot.close()
            found["snapshot"] = records.row(chunk.shape, chunk.rows[0])
        if can.read:
            reader = await fresh.connector.reader(system)
            rows = await reader.fetch(TYPED, ["id"], [(1,)])
            await reader.close()
            found["read"] = records.row(rows.shape, rows.rows[0])
        for way, record in found.items():
            differ = {
                f"{cases[int(name[1:])].native}: {cases[int(name[1:])].literal}": (
                    value,
                    wanted[name],
                )
                for name, value in record.items()
                if not same(value, wanted[name])
            }
            assert differ == {}, f"in the {way}: what came, what should"


def same(one: object, other: object) -> bool:
    """Equal and of one type; NaN equals itself."""
    return type(one) is type(other) and (one == other or (one != one and other != other))  # noqa: PLR0124
