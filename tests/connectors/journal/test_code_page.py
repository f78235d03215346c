"""Text keys of a code page: SQLite stores them as text that isn't UTF-8."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bridge.capture.control import request, send
from bridge.capture.runner import Capture
from bridge.connector import Ask, Effect
from bridge.model.encoded_text import EncodedText, condition_to_json
from bridge.model.specs import EntitySpec, FieldSpec
from bridge.model.types import FieldType
from connectors.journal import connector
from connectors.journal.dialects.sqlite.tables import JOURNALED_SQLITE
from connectors.sql.read.key_values import pack_value, unpack_value
from connectors.sql.read.reader import SqlReader
from connectors.sql.read.snapshot import SqlSnapshot
from connectors.sql.sqlite.dialect import SQLITE
from connectors.sql.write.writer import SqlWriter
from tests.capture.databases import BRIDGE, SqliteDatabase
from tests.capture.harness import CaptureHarness, open_harness
from tests.waiting import until

from .conftest import Legacy


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[CaptureHarness]:
    async with open_harness(tmp_path, SqliteDatabase(tmp_path / "erp.db")) as harness:
        yield harness


#: Latin-1 keys that sort as text: pure ASCII, and bytes that no UTF-8 text has.
FILL = (
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows}) "
    "INSERT INTO t SELECT CAST(CASE i % 3 WHEN 0 THEN x'4b' WHEN 1 THEN x'4bfc' ELSE x'e94b' END "
    "|| i AS TEXT), i FROM n"
)


async def test_a_snapshot_reads_every_row_whatever_its_chunks(legacy: Legacy) -> None:
    """Bound as a BLOB the key of the last row sorts after all text: the table seemed to end."""
    legacy.run("CREATE TABLE t (k TEXT PRIMARY KEY, a)", FILL.format(rows=700))
    snapshot = SqlSnapshot(legacy.system("t"), SQLITE)
    rows: list[Any] = []
    after = None
    while True:
        chunk = await snapshot.chunk("t", None, after, 50)
        rows += chunk.rows
        after = chunk.last
        if after is None:
            break
    await snapshot.close()
    assert sorted(row[1] for row in rows) == list(range(1, 701))


def test_a_key_of_encoded_text_is_resumed_behind_as_text() -> None:
    back = unpack_value(pack_value(EncodedText(b"K\xfc1")))
    assert isinstance(back, EncodedText)
    assert back == b"K\xfc1"
    assert type(unpack_value(pack_value(b"K\xfc1"))) is bytes


async def test_numbers_of_a_column_without_a_type_stay_numbers(legacy: Legacy) -> None:
    """A cast has an affinity, by which 7 would be compared as '7'."""
    legacy.run("CREATE TABLE t (k PRIMARY KEY, a)", "INSERT INTO t VALUES (7, 1), ('A', 2)")
    legacy.run("INSERT INTO t VALUES (CAST(x'32fc' AS TEXT), 3), (x'00', 4)")
    snapshot = SqlSnapshot(legacy.system("t"), SQLITE)
    after, rows = None, []
    while True:
        chunk = await snapshot.chunk("t", None, after, 1)
        rows += [row[1] for row in chunk.rows]
        after = chunk.last
        if after is None:
            break
    await snapshot.close()
    assert rows == [1, 3, 2, 4]


async def test_look_ups_and_commands_find_the_row_as_text_and_as_blob(legacy: Legacy) -> None:
    legacy.run(
        "CREATE TABLE t (k TEXT, b BLOB, a, PRIMARY KEY (k, b))",
        "INSERT INTO t VALUES (CAST(x'4bfc' AS TEXT), x'4bfc', 1), ('K', x'4b', 2)",
    )
    system = legacy.system("t")
    await connector.setup(system)
    reader = SqlReader(system, JOURNALED_SQLITE)
    umlaut, plain = EncodedText(b"K\xfc"), EncodedText(b"K")
    rows = (await reader.fetch(Ask("t", ("k", "b"), [(umlaut, umlaut), (plain, plain)]))).rows
    single = (await reader.fetch(Ask("t", ("k",), [(umlaut,)]))).rows
    await reader.close()
    assert sorted(row[2] for row in rows) == [1, 2]
    assert [row[2] for row in single] == [1]
    writer, binary = SqlWriter(system, JOURNALED_SQLITE), EncodedText(b"K\xfc")
    await writer.prepare()
    effect = Effect(
        "bot:1",
        "d",
        "UPDATE t SET a = 9 WHERE k = :key_k AND b = :key_b",
        {"key_k": umlaut, "key_b": binary},
        "t",
        {"k": umlaut, "b": binary},
    )
    (done,) = await writer.execute([effect])
    await writer.close()
    assert getattr(done, "rows", done) == 1


async def test_capture_takes_all_of_a_table_with_code_page_keys_and_deletes_none(
    rig: CaptureHarness,
) -> None:
    """500 of 2,000 rows were told as a snapshot that is done; a comparison deleted the others."""
    fields = (
        FieldSpec("k", ("k",), code_page="latin-1"),
        FieldSpec("a", ("a",), type=FieldType("integer")),
    )
    rig.run("CREATE TABLE t (k TEXT PRIMARY KEY, a INTEGER)", FILL.format(rows=2000))
    await rig.declare(EntitySpec("erp", "t", "t", ("k",), fields))
    async with rig.capturing() as capture:
        state = await rig.state("t", "k")
        assert len(state) == 2000
        assert {"K3", "K\xfc1", "\xe9K2"} <= state.keys()
        assert not await rig.dead()
        keys = [EncodedText(b"K\xfc1"), EncodedText(b"K3")]
        for reconcile, where in ((True, None), (False, {"k": condition_to_json(keys)})):
            snapshot_request = request("erp", "snapshot", "t", where=where, reconcile=reconcile)
            await send(rig.log, BRIDGE, snapshot_request)
            await until(lambda job=snapshot_request.id: _result(capture, job) is not None)  # type: ignore[misc]
            assert _result(capture, snapshot_request.id) == ((2, 0) if where else (2000, 0))


def _result(capture: Capture, job: str) -> tuple[int, int] | None:
    for result in capture.stats.progress.results:
        if result.id == job:
            return result.rows, result.deleted
    return None
