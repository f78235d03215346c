"""Capture of PostgreSQL: what only a real server does."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from bridge.capture import control
from bridge.capture.contract import CaptureLimits
from bridge.capture.runner import Capture
from bridge.model.errors import HistoryLost, RetryLater
from bridge.observe import EntityPaused
from tests.capture.databases import BRIDGE, PostgresDatabase
from tests.capture.harness import CaptureHarness, open_harness, until
from tests.capture.test_rows import reported
from tests.waiting import WAIT_TIMEOUT_S

if TYPE_CHECKING:
    from pathlib import Path

    from bridge.log.registry_port import Registry
    from tests.conftest import PrivatePostgres
    from tests.services.postgres import Postgres

TABLE = "CREATE TABLE t (id bigint PRIMARY KEY, a text, b int)"
SMALL = CaptureLimits(
    rows=50, keep_alive=0.3, wait=0.05, status=0.1, backoff=0.01, longest_backoff=0.1
)


async def test_changes_and_snapshots_end_equal_to_the_table_under_load(pg: CaptureHarness) -> None:
    pg.run(TABLE, "INSERT INTO t SELECT i, 'row', i FROM generate_series(1, 500) i")
    await pg.declare("t")
    pg.limits = SMALL
    async with pg.capturing(), changing(pg, 2) as workers:
        for _ in range(3):
            request = control.request("erp", "snapshot", "t")
            await control.send(pg.log, BRIDGE, request)
            await until(partial(reported, pg, request.id))
        workers.clear()
        await pg.equal("t")


class changing:  # noqa: N801 - used as a block
    """Sessions that change the table until the list that the block gets is emptied.

    `waits`: their commits wait for a synchronous standby, and give the wait up after a while.
    """

    def __init__(self, harness: CaptureHarness, sessions: int, *, waits: bool = False) -> None:
        assert isinstance(harness.database, PostgresDatabase)
        self._url = harness.database.url
        self._waits = waits
        self._workers = list(range(sessions))
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> list[int]:
        self._tasks = [
            asyncio.create_task(asyncio.to_thread(self._change, number))
            for number in list(self._workers)
        ]
        return self._workers

    async def __aexit__(self, *_: object) -> None:
        self._workers.clear()
        await asyncio.gather(*self._tasks)

    def _change(self, number: int) -> None:
        rng = random.Random(number)  # noqa: S311 - a seeded load
        options = "-c synchronous_commit=on" if self._waits else ""
        with psycopg.connect(self._url, autocommit=True, options=options) as session:
            turn = 0
            while self._workers:
                turn += 1
                key = rng.randrange(1, 600)
                statement = rng.choice(
                    [
                        f"INSERT INTO t VALUES ({key}, 'new', {turn}) ON CONFLICT DO NOTHING",
                        f"UPDATE t SET b = {turn} WHERE id = {key}",
                        f"DELETE FROM t WHERE id = {key}",
                    ]
                )
                if self._waits:
                    with give_up_waiting(session):
                        session.execute(statement)
                else:
                    session.execute(statement)


@contextmanager
def give_up_waiting(session: psycopg.Connection) -> Iterator[None]:
    """Cancel what still waits after 50 ms: the commit stands, and becomes visible only then.

    What waited for another session's row instead has done nothing, and is left at that.
    """
    import threading

    over = threading.Event()

    def cancel() -> None:
        # Again and again: on a slow machine the first may come before there is anything to cancel.
        while not over.wait(0.05):
            session.cancel()

    canceller = threading.Thread(target=cancel)
    canceller.start()
    try:
        with suppress(psycopg.errors.QueryCanceled):
            yield
    finally:
        over.set()
        canceller.join()


async def test_a_snapshot_is_right_where_the_log_is_ahead_of_what_reads_show(
    tmp_path: Path, private_postgres: PrivatePostgres
) -> None:
    """With a synchronous standby that never answers, a commit is streamed long before any
    SELECT shows it.
    """
    server: Postgres = private_postgres()
    legacy = PostgresDatabase(server.new_database())
    async with open_harness(tmp_path, legacy) as harness:
        harness.run(TABLE, "INSERT INTO t SELECT i, 'row', i FROM generate_series(1, 500) i")
        await harness.declare("t")
        harness.run(
            "ALTER SYSTEM SET synchronous_standby_names = 'nobody'", "SELECT pg_reload_conf()"
        )
        harness.limits = SMALL
        async with harness.capturing(), changing(harness, 6, waits=True) as workers:
            for _ in range(4):
                await control.send(harness.log, BRIDGE, control.request("erp", "snapshot", "t"))
                await asyncio.sleep(0.8)
            workers.clear()
            await harness.equal("t")
            await until(lambda: idle(harness))
        await harness.equal("t")


async def test_a_snapshot_after_a_restart_waits_for_what_was_streamed_before_it(
    tmp_path: Path, private_postgres: PrivatePostgres
) -> None:
    """Whoever streamed a commit that no SELECT shows yet may be gone when the table is read."""
    server: Postgres = private_postgres()
    legacy = PostgresDatabase(server.new_database())
    async with open_harness(tmp_path, legacy) as harness:
        harness.run(TABLE, "INSERT INTO t VALUES (1, 'row', 1), (2, 'row', 1)")
        await harness.declare("t")
        harness.run(
            "ALTER SYSTEM SET synchronous_standby_names = 'nobody'", "SELECT pg_reload_conf()"
        )
        options = "-c synchronous_commit=on"
        session = psycopg.connect(legacy.url, autocommit=True, options=options)
        async with harness.capturing("one"):
            update = asyncio.to_thread(session.execute, "UPDATE t SET b = 2 WHERE id = 1")
            waiting = asyncio.create_task(update)
            await until(lambda: has_records(harness, "t", 3))
        try:
            assert harness.table("t")[1]["b"] == 1
            await control.send(harness.log, BRIDGE, control.request("erp", "snapshot", "t"))
            steps: list[str] = []
            async with harness.capturing("two", crash_point=steps.append):
                # Each read but the first says that the one before it was refused.
                await until(lambda: steps.count("chunk.after") > 3)
                assert (await harness.state("t"))[1]["b"] == 2, "the log went back"
                session.cancel()
                await until(lambda: idle(harness))
                await harness.equal("t")
        finally:
            session.cancel()
            await waiting
            session.close()


async def idle(harness: CaptureHarness) -> bool:
    from bridge.capture.checkpoint.store import progress_of

    progress = await progress_of(harness.log, BRIDGE, "erp")
    return progress is not None and not progress.jobs


async def test_a_large_value_that_the_stream_leaves_out_is_read_again(pg: CaptureHarness) -> None:
    pg.run(
        TABLE,
        "ALTER TABLE t ALTER COLUMN a SET STORAGE EXTERNAL",
        "INSERT INTO t SELECT i, repeat('x', 9000), 0 FROM generate_series(1, 120) i",
    )
    await pg.declare("t")
    pg.limits = SMALL
    stop = asyncio.Event()

    async def touch() -> None:
        turn = 0
        while not stop.is_set():
            turn += 1
            pg.run(f"UPDATE t SET b = {turn} WHERE id % 7 = {turn % 7}")
            await asyncio.sleep(0.01)

    touching = asyncio.create_task(touch())
    async with pg.capturing():
        stop.set()
        await touching
        await until(lambda: complete(pg))


async def complete(harness: CaptureHarness) -> bool:
    """What a reader knows who keeps what an event names as unavailable."""
    rows: dict[int, dict[str, object]] = {}
    for record in sorted(await harness.records("t"), key=lambda each: each.record.offset):
        if record.change is None or record.change["after"] is None:
            rows.pop(record.key["id"], None)
            continue
        previous = rows.get(record.key["id"], {})
        kept = {name: previous.get(name) for name in record.change["unavailable"]}
        rows[record.key["id"]] = record.change["after"] | kept
    return rows == harness.table("t")


async def test_truncate_is_followed_by_deletes_for_all_that_is_gone(pg: CaptureHarness) -> None:
    pg.run(TABLE, "INSERT INTO t SELECT i, 'row', i FROM generate_series(1, 300) i")
    await pg.declare("t")
    async with pg.capturing() as capture:
        pg.run(
            "BEGIN",
            "TRUNCATE t",
            "INSERT INTO t VALUES (5, 'after', 5)",
            "COMMIT",
            "INSERT INTO t VALUES (301, 'later', 1)",
        )
        await pg.equal("t")
        await until(lambda: not capture.stats.progress.jobs)
    deletes = [record.key["id"] for record in await pg.records("t") if record.op == "delete"]
    assert sorted(deletes) == [number for number in range(1, 301) if number != 5]


async def test_columns_come_and_go_in_mid_stream(pg: CaptureHarness) -> None:
    pg.run(TABLE)
    await pg.declare("t")
    async with pg.capturing():
        pg.run(
            "INSERT INTO t VALUES (1, 'x', 1)",
            "ALTER TABLE t ADD COLUMN c numeric(10,2)",
            "INSERT INTO t VALUES (2, 'y', 2, 2.50)",
            "ALTER TABLE t DROP COLUMN b",
            "INSERT INTO t VALUES (3, 'z', 3.75)",
        )
        await until(lambda: keys(pg, "t", 3))
    state = await pg.state("t")
    assert set(state[1]) == {"id", "a", "b"}
    assert str(state[2]["c"]) == "2.50"
    assert (state[3]["b"], str(state[3]["c"])) == (None, "3.75")


async def test_changes_of_a_key_stay_in_order_when_a_column_came_and_went_between_them(
    pg: CaptureHarness,
) -> None:
    """The table then looks as it did before, and all of it may come in one batch."""
    pg.run(TABLE, "INSERT INTO t VALUES (1, 'x', 0)")
    await pg.declare("t")
    async with pg.capturing("one"):
        pass
    pg.run(
        "UPDATE t SET b = 1",
        "ALTER TABLE t ADD COLUMN c int",
        "UPDATE t SET b = 2",
        "ALTER TABLE t DROP COLUMN c",
        "UPDATE t SET b = 3",
    )
    async with pg.capturing("two"):
        await until(lambda: has_records(pg, "t", 4))
    changes = [each.change for each in await pg.records("t") if each.change is not None]
    assert [change["after"]["b"] for change in changes] == [0, 1, 2, 3]
    assert changes == sorted(changes, key=lambda change: change["position"])


async def test_rows_from_before_a_column_was_widened_may_be_told_again(pg: CaptureHarness) -> None:
    """The wider type is registered by then, although nothing with it is in the log."""
    pg.run("CREATE TABLE t (id bigint PRIMARY KEY, n numeric(10,2), f real)")
    await pg.declare("t")
    async with pg.capturing("one"):
        pass
    pg.run(
        "INSERT INTO t VALUES (1, 1.25, 0.5)",
        "ALTER TABLE t ALTER n TYPE numeric(14,2), ALTER f TYPE double precision",
        "INSERT INTO t VALUES (2, 123456789012.25, 0.1)",
    )
    registry = Noting(pg.registry)
    opened_, refused = False, 0

    def refuse(step: str) -> None:
        """Until the wider type was registered, and once more."""
        nonlocal opened_, refused
        opened_ = opened_ or step == "open.after"
        if step == "append.before" and opened_ and refused < 1:
            refused += len(registry.registered)
            raise RetryLater("the log is away")

    async with pg.capturing("two", crash_point=refuse, registry=registry) as capture:
        await until(lambda: capture.stats.progress.paused or keys(pg, "t", 2))
        assert not capture.stats.progress.paused
    state = await pg.state("t")
    assert (str(state[1]["n"]), state[1]["f"]) == ("1.25", 0.5)
    assert (str(state[2]["n"]), state[2]["f"]) == ("123456789012.25", 0.1)


class Noting:
    """A registry that notes what is registered."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self.registered: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._registry, name)

    async def register(self, subject: str, text: str) -> int:
        self.registered.append(subject)
        return await self._registry.register(subject, text)


async def has_records(harness: CaptureHarness, entity: str, count: int) -> bool:
    return len(await harness.records(entity)) >= count


async def keys(harness: CaptureHarness, entity: str, count: int) -> bool:
    return len(await harness.state(entity)) == count


async def test_a_retyped_column_pauses_its_entity_alone_and_a_resume_makes_it_whole(
    pg: CaptureHarness,
) -> None:
    pg.run(TABLE, "CREATE TABLE u (id bigint PRIMARY KEY, a text)")
    await pg.declare("t", "u")
    async with pg.capturing() as capture:
        pg.run("INSERT INTO t VALUES (1, 'x', 1), (2, 'y', 2)")
        await pg.equal("t")
        pg.run(
            "ALTER TABLE t ALTER COLUMN b TYPE text",
            "INSERT INTO t VALUES (3, 'z', 'text')",
            "INSERT INTO u VALUES (1, 'goes on')",
        )
        await pg.equal("u")
        await until(lambda: "t" in capture.stats.progress.paused)
        pg.run(
            "DELETE FROM t WHERE id = 3",
            "ALTER TABLE t ALTER COLUMN b TYPE int USING b::int",
            "UPDATE t SET b = 5 WHERE id = 1",
        )
        await control.send(pg.log, BRIDGE, control.request("erp", "resume", "t"))
        await pg.equal("t", "u")
    (notice,) = [each for each in pg.notices if isinstance(each, EntityPaused)]
    assert "'b'" in notice.reason


@pytest.mark.parametrize("columns", ["a, id", "id, a"])
async def test_composite_keys_are_snapshot_and_streamed(pg: CaptureHarness, columns: str) -> None:
    pg.run(
        f"CREATE TABLE t (id bigint, a text, b int, PRIMARY KEY ({columns}))",
        "INSERT INTO t SELECT i, 'k' || i % 3, i FROM generate_series(1, 200) i",
    )
    await pg.declare("t")
    pg.limits = SMALL
    async with pg.capturing():
        pg.run("UPDATE t SET b = -b WHERE id % 2 = 0", "UPDATE t SET a = 'moved' WHERE id = 7")
        await pg.equal("t")


@pytest.mark.parametrize("kind", ["xid8", "cube"])
async def test_keys_that_are_sent_as_text_are_snapshot_whole_and_none_is_deleted(
    pg: CaptureHarness, kind: str
) -> None:
    """Most of the rows were left out, and a comparison wrote deletes for live ones."""
    value = "i::text::xid8" if kind == "xid8" else "cube(i)"
    if kind == "cube":
        pg.run("CREATE EXTENSION cube")
    pg.run(
        f"CREATE TABLE t (id {kind} PRIMARY KEY, n int)",
        f"INSERT INTO t SELECT {value}, i FROM generate_series(1, 700) i",
    )
    await pg.declare("t")
    pg.limits = SMALL
    async with pg.capturing():
        assert len(await pg.state("t")) == 700
        request = control.request("erp", "snapshot", "t", reconcile=True)
        await control.send(pg.log, BRIDGE, request)
        await until(partial(reported, pg, request.id))
        rows = await pg.state("t")
    assert sorted(row["n"] for row in rows.values()) == list(range(1, 701))
    assert not any(each.op == "delete" for each in await pg.records("t"))


async def test_a_dropped_slot_stops_the_source_and_its_loss_can_be_accepted(
    pg: CaptureHarness,
) -> None:
    pg.run(TABLE, "INSERT INTO t VALUES (1, 'x', 1), (2, 'y', 2)")
    await pg.declare("t")
    async with pg.capturing("one"):
        pass
    await until(lambda: not pg.database.rows("SELECT 1 FROM pg_stat_replication")[1])
    pg.run(
        "SELECT pg_drop_replication_slot('bridge_erp')",
        "DELETE FROM t WHERE id = 1",
        "UPDATE t SET a = 'unseen' WHERE id = 2",
    )
    with pytest.raises(HistoryLost, match=r"bridge_erp.*start `bridgectl run`") as lost:
        await asyncio.wait_for(Capture(pg.deps(), "two").run(), WAIT_TIMEOUT_S)
    assert str(lost.value).count("--accept-loss") == 1
    await control.send(pg.log, BRIDGE, control.request("erp", "accept_loss"))
    async with pg.capturing("three") as capture:
        await pg.equal("t")
        await until(lambda: not capture.stats.progress.jobs)
    assert [record.op for record in await pg.records("t") if record.key["id"] == 1] == [
        "read", "delete", "tombstone",
    ]  # fmt: skip


async def test_a_source_that_goes_away_is_waited_for(
    tmp_path: Path, private_postgres: PrivatePostgres
) -> None:
    server = private_postgres()
    legacy = PostgresDatabase(server.new_database())
    async with open_harness(tmp_path, legacy) as harness:
        harness.run(TABLE)
        await harness.declare("t")
        async with harness.capturing() as capture:
            harness.run("INSERT INTO t VALUES (1, 'x', 1)")
            legacy.close()
            server.stop("immediate")
            await until(lambda: capture.stats.state == "retrying")
            server.start()
            legacy.db = PostgresDatabase(legacy.url).db
            harness.run("INSERT INTO t VALUES (2, 'y', 2)")
            await harness.equal("t")
        assert [record.op for record in await harness.records("t")] == ["create", "create"]
