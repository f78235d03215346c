"""What reads claim to have seen on a real standby, through its promotion, and where it is waited for."""

from __future__ import annotations

import threading
from dataclasses import replace

import psycopg
import pytest

from bridge.connector import Ask, Rows
from bridge.model.errors import RetryLater
from connectors.postgres.capture.snapshot import PostgresSnapshot
from connectors.postgres.capture_dialect import POSTGRES
from connectors.postgres.protocol.pg_snapshot import PgSnapshot
from connectors.sql.read.reader import SqlReader
from tests.conftest import PrivatePostgres, StandbyOf
from tests.connectors.postgres.postgres_erp import PostgresErp, collect, open_source
from tests.services.postgres import Postgres, replayed

XID = "SELECT pg_current_xact_id()::text::bigint % 4294967296"


def stocked(server: Postgres) -> PostgresErp:
    """A primary with one row of stock."""
    server.execute("CREATE TABLE stock (id int PRIMARY KEY, qty int)")
    server.execute("INSERT INTO stock VALUES (1, 0)")
    return PostgresErp(server, server.url)


def reader_of(erp: PostgresErp, server: Postgres) -> SqlReader:
    """A reader that keeps one connection."""
    system = replace(erp.system("stock", url=server.url), connections=1)
    return SqlReader(system, POSTGRES)


def seen_by(rows: Rows) -> PgSnapshot:
    assert isinstance(rows.visibility, PgSnapshot)
    assert rows.server == str(rows.visibility.server)
    return rows.visibility


def sessions(server: Postgres) -> list[tuple[int]]:
    """The backends of the readers."""
    return server.execute(
        "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'legacy-bridge%reads'"
    )


async def test_a_standby_does_not_claim_a_transaction_that_its_rows_do_not_show(
    local_postgres: PrivatePostgres, standby_of: StandbyOf
) -> None:
    primary = local_postgres()
    erp = stocked(primary)
    standby = standby_of(primary)
    reader = reader_of(erp, standby)
    with psycopg.connect(primary.url) as other:
        [open_xid] = other.execute(XID).fetchone() or (0,)
        other.execute("UPDATE stock SET qty = 1")
        with erp.db.transaction():
            [(ended_xid,)] = erp.rows(XID)
            erp.run("INSERT INTO stock VALUES (2, 0)")
        replayed(standby, primary)
        rows = await reader.fetch(Ask("stock"))
        seen = seen_by(rows)
        assert sorted(rows.rows) == [(1, 0), (2, 0)]
        assert seen.in_recovery
        # By the rule of a primary it would: the standby lists nobody who is open.
        assert replace(seen, in_recovery=False).contains(open_xid)
        assert not seen.contains(open_xid)
        assert open_xid in seen.unseen()
        on_primary = reader_of(erp, primary)
        primary_view = seen_by(await on_primary.fetch(Ask("stock")))
        await on_primary.close()
        assert not primary_view.in_recovery
        assert primary_view.contains(ended_xid)
        assert not primary_view.contains(open_xid)
        assert primary_view.server == seen.server
    replayed(standby, primary)
    rows = await reader.fetch(Ask("stock"))
    await reader.close()
    erp.db.close()
    assert sorted(rows.rows) == [(1, 1), (2, 0)]
    assert seen_by(rows).contains(open_xid)
    assert seen_by(rows).contains(ended_xid)


async def test_what_a_standby_has_not_replayed_is_not_contained(
    local_postgres: PrivatePostgres, standby_of: StandbyOf
) -> None:
    primary = local_postgres()
    erp = stocked(primary)
    standby = standby_of(primary)
    reader = reader_of(erp, standby)
    standby.execute("SELECT pg_wal_replay_pause()")
    with erp.db.transaction():
        [(xid,)] = erp.rows(XID)
        erp.run("UPDATE stock SET qty = 1")
    paused = await reader.fetch(Ask("stock", ("id",), [(1,)]))
    standby.execute("SELECT pg_wal_replay_resume()")
    replayed(standby, primary)
    resumed = await reader.fetch(Ask("stock", ("id",), [(1,)]))
    await reader.close()
    erp.db.close()
    assert paused.rows == [(1, 0)]
    assert not seen_by(paused).contains(xid)
    assert resumed.rows == [(1, 1)]
    assert seen_by(resumed).contains(xid)


async def test_a_promotion_shows_in_the_next_statement_of_a_session_that_stays_open(
    local_postgres: PrivatePostgres, standby_of: StandbyOf
) -> None:
    """Transaction ids of another timeline mean other transactions."""
    # A standby is copied only if what it replayed has full pages.
    primary = local_postgres({"full_page_writes": "on"})
    erp = stocked(primary)
    promoted = standby_of(primary, "promoted")
    following = standby_of(promoted, "following")
    replayed(promoted, primary)
    replayed(following, primary)
    readers = [reader_of(erp, server) for server in (promoted, following)]
    before = [seen_by(await reader.fetch(Ask("stock"))) for reader in readers]
    pids = [sessions(promoted), sessions(following)]
    erp.db.close()
    primary.stop()
    promoted.execute("SELECT pg_promote(true)")
    promoted.execute("UPDATE stock SET qty = 2")
    at_once = await readers[0].fetch(Ask("stock"))
    # The next restartpoint of a standby shows that it follows.
    promoted.execute("CHECKPOINT")
    replayed(following, promoted)
    following.execute("CHECKPOINT")
    later = await readers[1].fetch(Ask("stock"))
    assert [sessions(promoted), sessions(following)] == pids
    assert all(map(len, pids))
    for reader in readers:
        await reader.close()
    assert [(seen.in_recovery, seen.server and seen.server.timeline) for seen in before] == [
        (True, 1),
        (True, 1),
    ]
    assert before[0].server == before[1].server
    for rows, in_recovery in ((at_once, False), (later, True)):
        seen = seen_by(rows)
        assert seen.server is not None
        assert before[0].server is not None
        assert seen.server == replace(before[0].server, timeline=2)
        assert seen.in_recovery is in_recovery
        assert rows.rows == [(1, 2)]


async def test_what_the_stream_has_is_not_contained_until_a_synchronous_standby_has_it(
    local_postgres: PrivatePostgres, standby_of: StandbyOf
) -> None:
    """The order of the log is not the order of visibility: an event is read before its row shows."""
    primary = local_postgres({"synchronous_standby_names": "standby"})
    primary.execute("CREATE TABLE stock (id int PRIMARY KEY, qty int)")
    primary.execute("INSERT INTO stock VALUES (1, 0)")
    standby = standby_of(primary)
    erp = PostgresErp(primary, primary.url)
    erp.publish("stock")
    reader = reader_of(erp, primary)
    async with open_source(erp.system("stock")) as (source, _):
        standby.stop("immediate")
        sale = threading.Thread(target=erp.run, args=["UPDATE stock SET qty = 1"])
        sale.start()
        [change] = await collect(source, 1)
        early = await reader.fetch(Ask("stock", ("id",), [(1,)]))
        assert sale.is_alive()
        standby.start()
        sale.join()
        late = await reader.fetch(Ask("stock", ("id",), [(1,)]))
    await reader.close()
    erp.db.close()
    assert (early.rows, late.rows) == ([(1, 0)], [(1, 1)])
    xid = change.transaction.visibility
    assert not seen_by(early).contains(xid)
    assert seen_by(late).contains(xid)
    assert early.server == late.server


async def test_a_login_that_may_not_ask_for_the_server_reads_and_knows_it_by_its_start(
    local_postgres: PrivatePostgres, standby_of: StandbyOf
) -> None:
    primary = local_postgres()
    erp = stocked(primary)
    erp.run(
        "CREATE ROLE clerk LOGIN PASSWORD 'pw'",
        "GRANT SELECT ON stock TO clerk",
        "REVOKE EXECUTE ON FUNCTION pg_control_system() FROM public",
    )
    standby = standby_of(primary)
    replayed(standby, primary)
    answers: list[Rows] = []
    for server in (primary, standby, primary):
        system = replace(
            erp.system("stock", url=server.url_of("postgres", "clerk", "pw")), connections=1
        )
        reader = SqlReader(system, POSTGRES)
        answers.append(await reader.fetch(Ask("stock")))
        await reader.close()
    primary.restart()
    system = replace(
        erp.system("stock", url=primary.url_of("postgres", "clerk", "pw")), connections=1
    )
    reader = SqlReader(system, POSTGRES)
    answers.append(await reader.fetch(Ask("stock")))
    await reader.close()
    erp.db.close()
    assert [rows.rows for rows in answers] == [[(1, 0)]] * 4
    assert [seen_by(rows).in_recovery for rows in answers] == [False, True, False, False]
    first, other, again, restarted = (rows.server for rows in answers)
    assert first == again
    assert len({first, other, restarted}) == 3


async def test_a_snapshot_of_a_standby_is_refused(
    local_postgres: PrivatePostgres, standby_of: StandbyOf
) -> None:
    """A chunk holds what was streamed before its watermark, which is written on the primary."""
    primary = local_postgres()
    erp = stocked(primary)
    standby = standby_of(primary)
    replayed(standby, primary)
    snapshot = await PostgresSnapshot.open(erp.system("stock", url=standby.url))
    with pytest.raises(RetryLater, match="has to lead to the primary"):
        await snapshot.chunk("stock", None, None, 10)
    assert standby.execute("SELECT 1 FROM pg_locks WHERE relation = 'stock'::regclass") == []
    await snapshot.close()
    erp.db.close()
