"""Which rows of the log a dead letter puts in doubt: each letter of a row carries its key."""

from __future__ import annotations

import json
from pathlib import Path

from bridge.model.position import parse_position
from bridge.model.specs import EntitySpec, FieldSpec
from bridge.model.system_records import DeadLetter
from bridge.model.types import FieldType
from tests.capture.harness import CaptureHarness, open_harness, until
from tests.capture.polled_process import PolledStore

PRICED = (FieldSpec("id", ("id",)), FieldSpec("a", ("a",), FieldType("decimal", 10, 2)))
BY_ID = EntitySpec("erp", "t", "t", ("id",), PRICED)
BY_AMOUNT = EntitySpec("erp", "t", "t", ("a",), PRICED)


async def letters(harness: CaptureHarness, count: int) -> list[DeadLetter]:
    """So many letters, in the order of their positions."""

    async def written() -> bool:
        return len(await harness.dead()) >= count

    await until(written)
    dead = sorted(await harness.dead(), key=lambda letter: letter.position or "")
    assert len(dead) == count
    return dead


async def log_keys(harness: CaptureHarness, field: str = "id") -> dict[object, bytes | None]:
    """The log's key bytes of each row that has records."""
    return {record.key[field]: record.record.key for record in await harness.records("t")}


async def is_in_log(harness: CaptureHarness, key: object) -> bool:
    return key in await harness.state("t")


async def check_rows(harness: CaptureHarness) -> None:
    """A row that turns bad, one that is bad and gets another key, and none for good ones."""
    harness.run(
        "CREATE TABLE t (id integer PRIMARY KEY, a varchar(20))",
        "INSERT INTO t VALUES (1, '1.00'), (2, '2.00'), (3, '3.00')",
    )
    await harness.declare(BY_ID)
    async with harness.capturing():
        harness.run("UPDATE t SET a = 'one' WHERE id = 1")
        harness.run("UPDATE t SET id = 4, a = 'two' WHERE id = 2")
        bad, gone, came = await letters(harness, 3)
        harness.run("UPDATE t SET a = '4.00' WHERE id = 4")
        await until(lambda: is_in_log(harness, 4))
    keys = await log_keys(harness)
    assert [bad.key, gone.key, came.key] == [keys[1], keys[2], keys[4]]
    assert bad.raw is not None
    old, new = (parse_position(letter.position or "") for letter in (gone, came))
    assert new == old._replace(number=old.number + 1)
    assert gone.raw == came.raw


async def test_letters_of_the_journal_carry_each_key_that_a_change_touched(
    harness: CaptureHarness,
) -> None:
    await check_rows(harness)


async def test_letters_of_postgresql_carry_each_key_that_a_change_touched(
    pg: CaptureHarness,
) -> None:
    await check_rows(pg)


async def check_keys(harness: CaptureHarness) -> None:
    """A key of which the log can have no bytes leaves a letter without one: any row may be meant."""
    harness.run("CREATE TABLE t (id integer, a varchar(20) PRIMARY KEY)")
    harness.run("INSERT INTO t VALUES (2, '2.00')")
    await harness.declare(BY_AMOUNT)
    async with harness.capturing():
        harness.run("INSERT INTO t VALUES (1, 'one')")
        harness.run("UPDATE t SET a = 'two' WHERE a = '2.00'")
        never, gone, came = await letters(harness, 3)
    assert never.key is None
    assert json.loads(never.raw or "")["new"] == {"id": 1, "a": "one"}
    assert gone.key == (await log_keys(harness, "a"))["2.00"]
    assert came.key is None


async def test_letters_of_the_journal_have_no_key_where_none_can_be_made(
    harness: CaptureHarness,
) -> None:
    await check_keys(harness)


async def test_letters_of_postgresql_have_no_key_where_none_can_be_made(
    pg: CaptureHarness,
) -> None:
    await check_keys(pg)


async def test_letters_of_a_polled_source_and_of_its_snapshot_carry_their_keys(
    tmp_path: Path,
) -> None:
    store = PolledStore(tmp_path / "erp.json")
    async with open_harness(tmp_path, store) as harness:
        store.put({"id": 1, "a": "one"}, {"id": 2, "a": "2.00"}, {"id": 3, "a": "3.00"})
        await harness.declare(BY_ID)
        async with harness.capturing():
            (first,) = await letters(harness, 1)
            store.put({"id": 2, "a": "two"})
            _, second = await letters(harness, 2)
            store.put({"id": 1, "a": "1.00"})
            await until(lambda: is_in_log(harness, 1))
        keys = await log_keys(harness)
        assert [first.key, second.key] == [keys[1], keys[2]]
